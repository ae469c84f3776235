/**
 * The one Durable Object class: everything that must be serial per account. Keys, rates and create slots for calls;
 * sockets, their cursors and the push subscription for live sessions. Bodies and videos never pass through it.
 *
 * Callers: the Worker, by RPC (internal, unsigned). An object is named by its account. It keeps on disk how its rates stand,
 * the slots of creates, and the account's name once a socket opened; all else is rebuilt from sockets and the control plane.
 */
import { DurableObject } from "cloudflare:workers";
import type { Push, PushAnswer } from "#protocol/edge-call.ts";
import { type Refusal, renderRefusal } from "#protocol/error.ts";
import { CLOSE, EVENTS_SUBPROTOCOL, type HelloFrame, type SubscribeFrame } from "#protocol/event.ts";
import { AccountId, type CreateKey, type Sha256Hex } from "#protocol/id.ts";
import type { z } from "zod";
import { ControlPlaneUnreachable } from "./control-plane-call.ts";
import { configOf } from "./env.ts";
import type { Outcome } from "./core/create-slots.ts";
import type { Asked } from "./core/lend.ts";
import { rateHeaders } from "./core/rate-headers.ts";
import { logFault } from "./log.ts";
import { mintSessionId } from "./random-id.ts";
import { UNREACHABLE } from "./refusals.ts";
import { CallDesk } from "./session/call-desk.ts";
import type { Admitted, AdmittedCreate, CreateGuard, OpenedCreate } from "./session/call-desk.ts";
import { readClientFrame } from "./session/client-frame.ts";
import { LiveFeed } from "./session/live-feed.ts";
import { OpenSocket } from "./session/open-socket.ts";
import { readSocket, writeSocket } from "./session/socket-state.ts";
import { RENEW_AGAIN_MS, Subscription } from "./session/subscription.ts";

const SOCKETS_MAX = 20;
/** Events one socket may ask to have replayed; further back, `GET /v1/videos` is the way. */
const REPLAY_EVENTS_MAX = 10_000;
const ACCOUNT = "account";
const ONE_CALL: Asked = { calls: 1, ended: null };
/** They say that no code was received; sending one throws. */
const UNSENDABLE_CODES: ReadonlySet<number> = new Set([1005, 1006, 1015]);

export class AccountSession extends DurableObject<Cloudflare.Env> {
  readonly #desk: CallDesk;
  readonly #feed: LiveFeed;
  readonly #subscription: Subscription;
  /** Sockets between their subscription and their 101; they keep the subscription wanted. */
  #opening = 0;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    const config = configOf(env);
    this.#desk = new CallDesk(config, ctx.storage);
    this.#feed = new LiveFeed(config, () => this.#sockets());
    this.#subscription = new Subscription(config, ctx.storage);
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("ping", "pong"));
  }

  admit(account: AccountId, key: Sha256Hex, asked: Asked = ONE_CALL): Promise<Admitted> {
    return this.#desk.admit(account, key, asked);
  }

  admitCreate(account: AccountId, key: Sha256Hex): Promise<AdmittedCreate> {
    return this.#desk.admitCreate(account, key);
  }

  openCreate(account: AccountId, key: Sha256Hex, guard: CreateGuard): Promise<OpenedCreate> {
    return this.#desk.openCreate(account, key, guard);
  }

  settleCreate(createKey: CreateKey, guard: CreateGuard["kind"], outcome: Outcome): void {
    this.#desk.settleCreate(createKey, guard, outcome);
  }

  /** Opens a live session. The only call by `fetch`: a socket cannot travel by RPC. */
  override async fetch(request: Request): Promise<Response> {
    const open = OpenSocket.fromRequest(request);
    const admitted = await this.admit(open.account, open.key);
    if (admitted.refusal !== null) {
      return refused(admitted.refusal, admitted.rates === null ? {} : rateHeaders(admitted.rates), open.requestId);
    }
    if (this.#sockets().length + this.#opening >= SOCKETS_MAX) {
      const message = `An account may have ${SOCKETS_MAX} live sessions at once.`;
      return refused({ code: "rate_limit_exceeded", message, retryAfterSeconds: 10 }, {}, open.requestId);
    }
    this.ctx.storage.kv.put(ACCOUNT, open.account);
    this.#opening += 1;
    try {
      return await this.#open(open);
    } catch (fault) {
      if (!(fault instanceof ControlPlaneUnreachable)) throw fault;
      return refused(UNREACHABLE, {}, open.requestId);
    } finally {
      this.#opening -= 1;
    }
  }

  /** `live: false` tells the control plane to stop pushing; a refusal, to push the same again. */
  async push(account: AccountId, push: Push): Promise<z.infer<typeof PushAnswer> | { readonly refusal: Refusal }> {
    for (const item of push.items) if (item.kind === "key_revoked") this.#revoke(item.key_sha256);
    try {
      await this.#feed.push(account, push.items);
      return { live: this.#wanted() };
    } catch (fault) {
      if (!(fault instanceof ControlPlaneUnreachable)) throw fault;
      logFault("A gap could not be filled", fault, { account });
      return { refusal: UNREACHABLE };
    }
  }

  override async webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): Promise<void> {
    if (!this.#desk.chargeFrame(Date.now())) {
      socket.close(CLOSE.overload, "too many frames");
      return;
    }
    const frame = readClientFrame(message);
    if (frame === null) socket.close(CLOSE.badRequest, "unknown frame");
    else await this.#subscribe(socket, frame);
  }

  /** Without an answer to its close the peer would see 1006. */
  override async webSocketClose(socket: WebSocket, code: number, reason: string): Promise<void> {
    socket.close(UNSENDABLE_CODES.has(code) ? 1000 : code, reason);
    await this.#endIfLast();
  }

  override async webSocketError(): Promise<void> {
    await this.#endIfLast();
  }

  override async alarm(): Promise<void> {
    if (!this.#wanted()) return this.#endIfLast();
    try {
      const account = this.#account();
      this.#feed.learn(await this.#subscription.renew(account));
      await this.#feed.catchUp(account);
    } catch (fault) {
      logFault("The subscription was not renewed", fault, { account: this.#account() });
      await this.ctx.storage.setAlarm(Date.now() + RENEW_AGAIN_MS);
    }
  }

  async #open(open: OpenSocket): Promise<Response> {
    // 1. Subscribe first: from here on every new event is pushed, so none falls between the log and the pushes.
    const last = await this.#subscription.renew(open.account);
    this.#feed.learn(last);
    const cursor = Math.min(open.startingAfter ?? last, last);
    if (last - cursor > REPLAY_EVENTS_MAX) return refused(tooFarBack(), {}, open.requestId);
    // 2. The hello precedes everything: nothing is awaited between accepting and sending it.
    const [client, server] = Object.values(new WebSocketPair()) as [WebSocket, WebSocket];
    this.ctx.acceptWebSocket(server);
    writeSocket(server, { key: open.key, cursor, videoIds: null });
    const hello: HelloFrame = { type: "hello", session_id: mintSessionId(), last_sequence_number: last };
    server.send(JSON.stringify(hello));
    // 3. The replay runs beside the 101; should it fail, the next push or the alarm takes it up.
    this.ctx.waitUntil(this.#catchUp(open.account));
    const headers = new Headers({ "x-request-id": open.requestId });
    if (open.wantsSubprotocol) headers.set("sec-websocket-protocol", EVENTS_SUBPROTOCOL);
    return new Response(null, { status: 101, webSocket: client, headers });
  }

  async #subscribe(socket: WebSocket, frame: SubscribeFrame): Promise<void> {
    const account = this.#account();
    const last = await this.#lastNumber(account, readSocket(socket).cursor, frame.starting_after ?? 0);
    if (last === null) {
      socket.close(CLOSE.overload, "try again");
      return;
    }
    const state = readSocket(socket);
    const cursor = frame.starting_after === undefined ? state.cursor : Math.min(frame.starting_after, last);
    if (last - cursor > REPLAY_EVENTS_MAX) {
      socket.close(CLOSE.badRequest, "starting_after is too far back");
      return;
    }
    this.#feed.learn(state.cursor);
    writeSocket(socket, { ...state, cursor, videoIds: frame.video_ids ?? null });
    await this.#catchUp(account);
  }

  /** The log's last number as far as it matters: after an eviction only the control plane knows if `wanted` exists. */
  async #lastNumber(account: AccountId, cursor: number, wanted: number): Promise<number | null> {
    try {
      if (wanted > Math.max(cursor, this.#feed.known)) this.#feed.learn(await this.#subscription.renew(account));
      return Math.max(cursor, this.#feed.known);
    } catch (fault) {
      logFault("A replay could not start", fault, { account });
      return null;
    }
  }

  async #catchUp(account: AccountId): Promise<void> {
    try {
      await this.#feed.catchUp(account);
    } catch (fault) {
      logFault("The event log could not be read", fault, { account });
    }
  }

  #revoke(key: Sha256Hex): void {
    this.#desk.revoke(key);
    for (const socket of this.#sockets()) {
      if (readSocket(socket).key === key) socket.close(CLOSE.unauthorized, "the API key was revoked");
    }
  }

  async #endIfLast(): Promise<void> {
    if (this.#wanted()) return;
    try {
      await this.#subscription.end(this.#account(), () => this.#wanted());
    } catch (fault) {
      // Nobody listens: the lease lapses by itself.
      logFault("The subscription was not ended", fault, { account: this.#account() });
    }
  }

  #wanted(): boolean {
    return this.#opening > 0 || this.#sockets().length > 0;
  }

  #sockets(): WebSocket[] {
    return this.ctx.getWebSockets().filter((socket) => socket.readyState === WebSocket.OPEN);
  }

  #account(): AccountId {
    return AccountId.parse(this.ctx.storage.kv.get(ACCOUNT));
  }
}

function tooFarBack(): Refusal {
  const message = `Invalid 'starting_after': at most ${REPLAY_EVENTS_MAX} events are replayed; read GET /v1/videos and start from now.`;
  return { code: "invalid_value", message, param: "starting_after" };
}

function refused(refusal: Refusal, extra: Readonly<Record<string, string>>, requestId: string): Response {
  const response = renderRefusal(refusal, requestId);
  for (const [name, value] of Object.entries(extra)) response.headers.set(name, value);
  return response;
}
