/**
 * The one Durable Object class: everything that must be serial per account. Keys, rates and create slots for calls; live
 * sessions. Bodies and videos never pass through it.
 *
 * Callers: the Worker, by RPC (internal, unsigned). An object is named by its account. It keeps on disk how its rates stand,
 * the slots of creates, unused tickets, and the account's name once a session opened; all else is rebuilt from sockets and
 * the control plane.
 */
import { DurableObject } from "cloudflare:workers";
import type { Push, PushAnswer } from "#protocol/edge-call.ts";
import type { Refusal } from "#protocol/error.ts";
import type { AccountId, CreateKey, Sha256Hex } from "#protocol/id.ts";
import { CLOSE } from "#protocol/live-session.ts";
import type { z } from "zod";
import { configOf } from "./env.ts";
import type { Outcome } from "./core/create-slots.ts";
import type { ReadAsked } from "./lent-calls.ts";
import { CallDesk } from "./session/call-desk.ts";
import type { Admitted, AdmittedCreate, CreateGuard, OpenedCreate } from "./session/call-desk.ts";
import { readClientFrame } from "./session/client-frame.ts";
import { LiveSessions } from "./session/live-sessions.ts";
import { OpenSession } from "./session/open-session.ts";

const ONE_CALL: ReadAsked = { calls: 1, unusedMicros: 0 };
/** They say that no code was received; sending one throws. */
const UNSENDABLE_CODES: ReadonlySet<number> = new Set([1005, 1006, 1015]);

/** A ticket and who may use it, both known only by hash. */
export interface NewTicket {
  readonly ticket: Sha256Hex;
  readonly origin: string | null;
}

export class AccountSession extends DurableObject<Cloudflare.Env> {
  readonly #desk: CallDesk;
  readonly #sessions: LiveSessions;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    const config = configOf(env);
    this.#desk = new CallDesk(config, ctx.storage);
    this.#sessions = new LiveSessions(ctx, config, (account, key) => this.admit(account, key));
  }

  admit(account: AccountId, key: Sha256Hex, asked: ReadAsked = ONE_CALL): Promise<Admitted> {
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

  /** Keeps a browser's ticket for an admitted key; answers when it ends, or why there is none. */
  keepTicket(key: Sha256Hex, { ticket, origin }: NewTicket): number | Refusal {
    return this.#sessions.tickets.keep(ticket, key, origin, Date.now());
  }

  /** Opens a live session. The only call by `fetch`: a socket cannot travel by RPC. */
  override fetch(request: Request): Promise<Response> {
    return this.#sessions.open(OpenSession.fromRequest(request));
  }

  push(account: AccountId, push: Push): Promise<z.infer<typeof PushAnswer> | { readonly refusal: Refusal }> {
    for (const item of push.items) {
      if (item.kind !== "key_revoked") continue;
      this.#desk.revoke(item.key_sha256);
      this.#sessions.revoke(item.key_sha256);
    }
    return this.#sessions.push(account, push);
  }

  override async webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): Promise<void> {
    const frame = readClientFrame(message);
    if (!this.#desk.chargeFrame(Date.now())) socket.close(CLOSE.overload, "too many frames");
    else if (frame === null) socket.close(CLOSE.forbidden, "unknown frame");
    else await this.#sessions.subscribe(socket, frame);
  }

  /** Without an answer to its close the peer would see 1006. */
  override async webSocketClose(socket: WebSocket, code: number, reason: string): Promise<void> {
    socket.close(UNSENDABLE_CODES.has(code) ? 1000 : code, reason);
    await this.#sessions.ended();
  }

  override async webSocketError(): Promise<void> {
    await this.#sessions.ended();
  }

  override async alarm(): Promise<void> {
    await this.#sessions.alarm((account, key) => this.#desk.isGood(account, key));
  }
}
