/**
 * The account's live sessions: who may open one, what each is owed, and when one ends. Every transport is one of these: SSE
 * and `Prefer: wait` are sessions that the Worker opens for its caller.
 *
 * An abort or a restart cuts the sockets; their clients come back with their cursors. A hibernation keeps them: all that a
 * session needs is in its attachment.
 */
import type { Push, PushAnswer } from "#protocol/edge-call.ts";
import { type Refusal, renderRefusal } from "#protocol/error.ts";
import { AccountId, type Sha256Hex } from "#protocol/id.ts";
import { CLOSE, EVENTS_SUBPROTOCOL, REPLAY_EVENTS_MAX } from "#protocol/live-session.ts";
import { type SubscribeFrame, TICKET_SESSION_MS } from "#protocol/live-session.ts";
import type { z } from "zod";
import { ControlPlaneUnreachable } from "../control-plane-call.ts";
import { startAt } from "../core/event-cursor.ts";
import { rateHeaders } from "../core/rate-headers.ts";
import type { Config } from "../env.ts";
import { logFault } from "../log.ts";
import { mintSessionId } from "../random-id.ts";
import { UNREACHABLE } from "../refusals.ts";
import type { Admitted } from "./call-desk.ts";
import { LiveFeed } from "./live-feed.ts";
import { LiveSocket } from "./live-socket.ts";
import type { OpenSession } from "./open-session.ts";
import { Subscription } from "./subscription.ts";
import { Tickets } from "./tickets.ts";

const SOCKETS_MAX = 20;
/** Sockets that were cut hold their unread bytes until their peers let go; of more than these all are dropped at once. */
const CUT_SOCKETS_MAX = 4;
const ACCOUNT = "account";

/** The account's answer to a key: may it call now? */
export type CheckCall = (account: AccountId, key: Sha256Hex) => Promise<Admitted>;

export class LiveSessions {
  readonly #ctx: DurableObjectState;
  readonly #check: CheckCall;
  readonly #feed: LiveFeed;
  readonly #subscription: Subscription;
  readonly tickets: Tickets;
  readonly #lives = new WeakMap<WebSocket, LiveSocket>();
  /** Sockets between their subscription and their 101; they keep the subscription wanted. */
  #opening = 0;

  constructor(ctx: DurableObjectState, config: Config, check: CheckCall) {
    this.#ctx = ctx;
    this.#check = check;
    this.#feed = new LiveFeed(config, () => this.#sockets());
    this.#subscription = new Subscription(config, ctx.storage);
    this.tickets = new Tickets(ctx.storage.kv);
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("ping", "pong"));
  }

  async open(open: OpenSession): Promise<Response> {
    const opener = this.#openerOf(open);
    if ("refusal" in opener) return refused(opener.refusal, {}, open.requestId);
    const admitted = await this.#check(open.account, opener.key);
    if (admitted.refusal !== null) {
      const headers = admitted.rates === null ? {} : rateHeaders(admitted.rates);
      return refused(admitted.refusal, headers, open.requestId);
    }
    for (const socket of this.#sockets()) {
      if (socket.state.session === open.replaces) socket.close(CLOSE.replaced, "another session took its place");
    }
    if (this.#sockets().length + this.#opening >= SOCKETS_MAX) {
      const message = `An account may have ${SOCKETS_MAX} live sessions at once.`;
      return refused({ code: "rate_limit_exceeded", message, retryAfterSeconds: 10 }, {}, open.requestId);
    }
    this.#ctx.storage.kv.put(ACCOUNT, open.account);
    this.#opening += 1;
    try {
      return await this.#accept(open, opener);
    } catch (fault) {
      if (!(fault instanceof ControlPlaneUnreachable)) throw fault;
      return refused(UNREACHABLE, {}, open.requestId);
    } finally {
      this.#opening -= 1;
    }
  }

  /** `live: false` tells the control plane to stop pushing; a refusal, to push the same again. */
  async push(account: AccountId, push: Push): Promise<z.infer<typeof PushAnswer> | { readonly refusal: Refusal }> {
    try {
      await this.#feed.push(account, push.items);
      this.#dropCut();
      const live = this.isWanted();
      if (!live) this.#subscription.lapse();
      return { live };
    } catch (fault) {
      if (!(fault instanceof ControlPlaneUnreachable)) throw fault;
      logFault("A gap could not be filled", fault, { account });
      return { refusal: UNREACHABLE };
    }
  }

  async subscribe(webSocket: WebSocket, frame: SubscribeFrame): Promise<void> {
    const account = this.#account();
    const socket = this.#live(webSocket);
    const wanted = frame.starting_after ?? socket.state.cursor;
    try {
      const last = await this.#reach(account, wanted);
      const { cursor, resync } = startAt(wanted, last);
      if (resync !== null) socket.say({ type: "resync", from: cursor, reason: resync });
      socket.restart({ cursor, videoIds: frame.video_ids ?? null, through: last });
    } catch (fault) {
      logFault("A replay could not start", fault, { account });
      return socket.close(CLOSE.overload, "try again");
    }
    await this.#catchUp(account);
  }

  /** The sessions that the key opened end, those of its tickets too, and its tickets are worth nothing. */
  revoke(key: Sha256Hex): void {
    this.tickets.revoke(key);
    for (const socket of this.#sockets()) {
      if (socket.state.key === key) socket.close(CLOSE.unauthorized, "the API key was revoked");
    }
  }

  async ended(): Promise<void> {
    if (this.isWanted()) return;
    try {
      await this.#subscription.end(this.#account(), () => this.isWanted());
    } catch (fault) {
      // Nobody listens: the lease lapses by itself.
      logFault("The subscription was not ended", fault, { account: this.#account() });
    }
  }

  async alarm(isGood: (account: AccountId, key: Sha256Hex) => Promise<boolean>): Promise<void> {
    for (const socket of this.#sockets()) {
      if (Date.now() >= (socket.state.endsAtMs ?? Infinity)) socket.close(CLOSE.ticketRotated, "get another ticket");
    }
    if (!this.isWanted()) return this.ended();
    const account = this.#account();
    try {
      this.#feed.learn(await this.#subscription.renew(account));
      await this.#feed.catchUp(account);
      // A revocation is pushed; this is for one that could not be.
      for (const key of new Set(this.#sockets().map(({ state }) => state.key))) {
        if (!(await isGood(account, key))) this.revoke(key);
      }
    } catch (fault) {
      logFault("The subscription was not renewed", fault, { account });
      await this.#subscription.again();
    }
    this.#dropCut();
  }

  isWanted(): boolean {
    return this.#opening > 0 || this.#sockets().length > 0;
  }

  #openerOf({ by }: OpenSession): { key: Sha256Hex; endsAtMs: number | null } | { refusal: Refusal } {
    if (by.kind === "key") return { key: by.key, endsAtMs: null };
    const ticket = this.tickets.take(by.ticket, Date.now());
    if (ticket === null) {
      return { refusal: { code: "invalid_ticket", message: "The ticket is unknown, was used or is over." } };
    }
    if (ticket.origin !== null && ticket.origin !== by.origin) {
      return { refusal: { code: "origin_forbidden", message: "The ticket is for pages of another origin." } };
    }
    return { key: ticket.key, endsAtMs: Date.now() + TICKET_SESSION_MS };
  }

  async #accept(open: OpenSession, opener: { key: Sha256Hex; endsAtMs: number | null }): Promise<Response> {
    // 1. Subscribe first: from here on every new event is pushed, so none falls between the log and the pushes.
    const last = await this.#reach(open.account, open.startingAfter ?? 0);
    const { cursor, resync } = startAt(open.startingAfter, last);
    // 2. The hello precedes everything: nothing is awaited between accepting and sending it.
    const [client, server] = Object.values(new WebSocketPair()) as [WebSocket, WebSocket];
    this.#ctx.acceptWebSocket(server);
    const session = mintSessionId();
    const start = { ...opener, session, cursor, videoIds: open.videoIds, through: last };
    const socket = LiveSocket.begin(server, this.#pingAtMs, start);
    this.#lives.set(server, socket);
    const reach = { last_sequence_number: last, replay_window: REPLAY_EVENTS_MAX };
    socket.say({ type: "hello", session_id: session, ...reach });
    if (resync !== null) socket.say({ type: "resync", from: cursor, reason: resync });
    // 3. Snapshot and replay run beside the 101; should they fail, the next push or the alarm takes them up.
    this.#ctx.waitUntil(this.#catchUp(open.account));
    const headers = new Headers({ "x-request-id": open.requestId });
    if (open.wantsSubprotocol) headers.set("sec-websocket-protocol", EVENTS_SUBPROTOCOL);
    return new Response(null, { status: 101, webSocket: client, headers });
  }

  /**
   * How far the log reaches, once every event after it is pushed. Where the subscription is held the pushes have told it, and
   * twenty clients that come back together cost one call; but only the control plane knows of a number that was never pushed here.
   */
  async #reach(account: AccountId, wanted: number): Promise<number> {
    if (!this.#subscription.isHeld || wanted > this.#feed.known) {
      this.#feed.learn(await this.#subscription.renew(account));
    }
    return this.#feed.known;
  }

  async #catchUp(account: AccountId): Promise<void> {
    try {
      await this.#feed.catchUp(account);
    } catch (fault) {
      logFault("The event log could not be read", fault, { account });
      await this.#subscription.again();
    }
    this.#dropCut();
  }

  /** There is no other way to let go of what a peer does not read; the others come back with their cursors. */
  #dropCut(): void {
    const cut = this.#ctx
      .getWebSockets()
      .filter((socket) => socket.readyState !== WebSocket.OPEN && this.#live(socket).state.phase === "cut");
    if (cut.length > CUT_SOCKETS_MAX) this.#ctx.abort("too much was sent that nobody reads");
  }

  readonly #pingAtMs = (socket: WebSocket): number | null =>
    this.#ctx.getWebSocketAutoResponseTimestamp(socket)?.getTime() ?? null;

  #sockets(): LiveSocket[] {
    return this.#ctx
      .getWebSockets()
      .filter((socket) => socket.readyState === WebSocket.OPEN)
      .map((socket) => this.#live(socket));
  }

  #live(socket: WebSocket): LiveSocket {
    return this.#lives.getOrInsertComputed(socket, () => new LiveSocket(socket, this.#pingAtMs));
  }

  #account(): AccountId {
    return AccountId.parse(this.#ctx.storage.kv.get(ACCOUNT));
  }
}

function refused(refusal: Refusal, extra: Readonly<Record<string, string>>, requestId: string): Response {
  const response = renderRefusal(refusal, requestId);
  for (const [name, value] of Object.entries(extra)) response.headers.set(name, value);
  return response;
}
