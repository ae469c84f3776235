/**
 * The one Durable Object class: everything that must be serial per account. Keys and rates for calls; live sessions. Bodies
 * and videos never pass through it.
 *
 * Callers: the Worker, by RPC (internal, unsigned). An object is named by its account. It keeps one number on disk (the
 * create rate), unused tickets, and the account's name once a session opened; all else is rebuilt from sockets and the
 * control plane.
 */
import { DurableObject } from "cloudflare:workers";
import type { Push, PushAnswer } from "#protocol/edge-call.ts";
import type { Refusal } from "#protocol/error.ts";
import type { AccountId, CreateKey, Sha256Hex } from "#protocol/id.ts";
import { CLOSE } from "#protocol/live-session.ts";
import type { z } from "zod";
import { ControlPlaneUnreachable } from "./control-plane-call.ts";
import { readConfig } from "./env.ts";
import { logFault } from "./log.ts";
import { mintCreateKey } from "./random-id.ts";
import { UNREACHABLE } from "./refusals.ts";
import { Admission } from "./session/admission.ts";
import { readClientFrame } from "./session/client-frame.ts";
import { KeyCache, type KeyVerdict } from "./session/key-cache.ts";
import { LiveSessions } from "./session/live-sessions.ts";
import { OpenSession } from "./session/open-session.ts";

/** They say that no code was received; sending one throws. */
const UNSENDABLE_CODES: ReadonlySet<number> = new Set([1005, 1006, 1015]);

export interface Admitted {
  readonly headers: Readonly<Record<string, string>>;
  readonly refusal: Refusal | null;
}
export type AdmittedCreate =
  | (Admitted & { readonly refusal: Refusal })
  | (Admitted & { readonly refusal: null; readonly createKey: CreateKey });

/** A ticket and who may use it, both known only by hash. */
export interface NewTicket {
  readonly ticket: Sha256Hex;
  readonly origin: string | null;
}

const BAD_KEY: Refusal = { code: "invalid_api_key", message: "Incorrect API key provided." };

export class AccountSession extends DurableObject<Cloudflare.Env> {
  readonly #keys: KeyCache;
  readonly #admission: Admission;
  readonly #sessions: LiveSessions;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    const config = readConfig(env);
    this.#keys = new KeyCache(config);
    this.#admission = new Admission(ctx.storage.kv);
    this.#sessions = new LiveSessions(ctx, config, (account, key) => this.admit(account, key));
  }

  async admit(account: AccountId, key: Sha256Hex): Promise<Admitted> {
    const verdict = await this.#check(account, key);
    return "refusal" in verdict ? verdict : this.#admission.chargeRead(Date.now());
  }

  async admitCreate(account: AccountId, key: Sha256Hex): Promise<AdmittedCreate> {
    const verdict = await this.#check(account, key);
    if ("refusal" in verdict) return verdict;
    const { headers, refusal } = this.#admission.chargeCreate(verdict.limits, Date.now());
    return refusal === null ? { headers, refusal, createKey: mintCreateKey() } : { headers, refusal };
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
      this.#keys.revoke(item.key_sha256);
      this.#sessions.revoke(item.key_sha256);
    }
    return this.#sessions.push(account, push);
  }

  override async webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): Promise<void> {
    const frame = readClientFrame(message);
    if (this.#admission.chargeRead(Date.now()).refusal !== null) socket.close(CLOSE.overload, "too many frames");
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
    await this.#sessions.alarm(async (account, key) => (await this.#keys.check(account, key)) !== null);
  }

  async #check(
    account: AccountId,
    key: Sha256Hex,
  ): Promise<NonNullable<KeyVerdict> | (Admitted & { refusal: Refusal })> {
    try {
      return (await this.#keys.check(account, key)) ?? { headers: {}, refusal: BAD_KEY };
    } catch (fault) {
      if (!(fault instanceof ControlPlaneUnreachable)) throw fault;
      logFault("A key could not be checked", fault, { account });
      return { headers: {}, refusal: UNREACHABLE };
    }
  }
}
