/**
 * Tickets: what a browser opens a session with instead of a key. Kept by hash and on disk, so that an eviction between the
 * mint and the use loses none; taken once; gone after a minute or with the key that made them.
 */
import type { Refusal } from "#protocol/error.ts";
import type { Sha256Hex } from "#protocol/id.ts";
import { TICKET_MS } from "#protocol/live-session.ts";

const PREFIX = "ticket:";
const TICKETS_MAX = 100;
const TOO_MANY: Refusal = {
  code: "rate_limit_exceeded",
  message: `An account may have ${TICKETS_MAX} unused tickets at once.`,
  retryAfterSeconds: TICKET_MS / 1_000,
};

export interface Ticket {
  readonly key: Sha256Hex;
  /** The only origin whose pages may use it; null: any. */
  readonly origin: string | null;
  readonly expiresAtMs: number;
}

export class Tickets {
  readonly #kv: SyncKvStorage;

  constructor(kv: SyncKvStorage) {
    this.#kv = kv;
  }

  /** When it ends, or why it is not kept. */
  keep(hash: Sha256Hex, key: Sha256Hex, origin: string | null, nowMs: number): number | Refusal {
    this.#drop((ticket) => ticket.expiresAtMs <= nowMs);
    if ([...this.#kv.list({ prefix: PREFIX })].length >= TICKETS_MAX) return TOO_MANY;
    const ticket: Ticket = { key, origin, expiresAtMs: nowMs + TICKET_MS };
    this.#kv.put(PREFIX + hash, ticket);
    return ticket.expiresAtMs;
  }

  /** Takes the ticket, whatever comes of it: a second try with the same one is refused. */
  take(hash: Sha256Hex, nowMs: number): Ticket | null {
    const ticket = this.#kv.get<Ticket>(PREFIX + hash) ?? null;
    this.#kv.delete(PREFIX + hash);
    return ticket !== null && nowMs < ticket.expiresAtMs ? ticket : null;
  }

  revoke(key: Sha256Hex): void {
    this.#drop((ticket) => ticket.key === key);
  }

  #drop(isOver: (ticket: Ticket) => boolean): void {
    // Nothing is deleted while the list is read.
    const over = Array.from(this.#kv.list<Ticket>({ prefix: PREFIX })).filter(([, ticket]) => isOver(ticket));
    for (const [name] of over) this.#kv.delete(name);
  }
}
