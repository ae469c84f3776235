/**
 * Guards creates whose client does not say which of them are the same: the unmodified OpenAI SDKs send no
 * `Idempotency-Key`, but number their tries (`X-Stainless-Retry-Count`).
 *
 * A *slot* is one create that was asked for once, under one API key and with one fingerprint (or under one
 * `Idempotency-Key`), over all its tries; its `createKey` makes at most one video. `step` decides about a try, given the
 * slots it could belong to:
 *
 * | a try                   | finds                          | decision                                                |
 * |-------------------------|--------------------------------|---------------------------------------------------------|
 * | the first               | anything                       | `open`: it is meant, however many are like it           |
 * | a later one             | 1. a slot that was refused     | `take`: go on with that create                          |
 * |                         | 2. a slot in flight            | `conflict`: ask again in a moment                       |
 * |                         | 3. a slot that made its video  | `replay` the one that retries were given least often    |
 * |                         | 4. none                        | `open`: the tries before never arrived                  |
 *
 * So a lost answer makes one video and two creates that are meant make two. A slot left pending by a crash counts as
 * refused: whether its video was made is known by its create key alone, which is sent again.
 */
import type { CreateKey } from "#protocol/id.ts";

/**
 * Since its last try. The SDKs give a silent connection up after 10 minutes, pause at most 8 s and try again: that try must
 * still find its slot.
 */
export const SLOT_MS = 11 * 60_000;
/** The SDKs pause at least 375 ms before a retry. */
const PAUSE_MIN_MS = 300;
/** A create that was forwarded is answered before; later, whoever forwarded it is gone. */
export const IN_FLIGHT_MS = 15_000;
/** The number of a try that says by its key which create it belongs to. */
export const KEYED = Number.MAX_SAFE_INTEGER;

interface Asked {
  readonly createKey: CreateKey;
  /** The number of its last try; 0 was the first. */
  readonly retries: number;
  /** When it was last asked for. */
  readonly atMs: number;
}
export type Slot = Asked &
  (
    | { readonly state: "pending" }
    /** Refused, or without an answer, in a way that the client tries again. */
    | { readonly state: "rejected" }
    /** `handedOut`: to how many retries. */
    | { readonly state: "created"; readonly handedOut: number }
  );

export interface Try {
  readonly retries: number;
  readonly nowMs: number;
  /** What a slot that it opens will be called. */
  readonly freshKey: CreateKey;
  /** Creates that this object knows to be under way. */
  readonly inFlight: ReadonlySet<CreateKey>;
}

export type Decision =
  | { readonly kind: "open" | "take"; readonly slot: Slot & { readonly state: "pending" } }
  | { readonly kind: "replay"; readonly slot: Slot & { readonly state: "created" } }
  | { readonly kind: "conflict" };

/** `slots` are those of the try's own key and fingerprint; the decision's slot is to be kept in place of the old one. */
export function step(slots: readonly Slot[], { retries, nowMs, freshKey, inFlight }: Try): Decision {
  if (retries === 0) return { kind: "open", slot: pending(freshKey, retries, nowMs) };
  const alive = slots.filter((slot) => nowMs - slot.atMs < SLOT_MS);
  const isUnderWay = (slot: Slot) => inFlight.has(slot.createKey) && nowMs - slot.atMs < IN_FLIGHT_MS;

  // 1. Only one of an earlier try: a slot whose client gave up after its third must not be taken for the next one's.
  const refused = alive
    .filter((slot) => slot.state === "rejected" || (slot.state === "pending" && !isUnderWay(slot)))
    .filter((slot) => retries === KEYED || slot.retries < retries);
  const taken = best(refused, (slot) => [-slot.retries, slot.atMs]);
  if (taken !== null) return { kind: "take", slot: pending(taken.createKey, retries, nowMs) };
  // 2.
  if (alive.some((slot) => slot.state === "pending" && isUnderWay(slot))) return { kind: "conflict" };
  // 3. One answered this very moment is not asked for again yet. Among equals the newest: who asks one after the other loses
  // the last answer.
  const made = alive.filter((slot) => slot.state === "created");
  const isFresh = (slot: Slot) => Number(nowMs - slot.atMs < PAUSE_MIN_MS);
  const replayed = best(made, (slot) => [isFresh(slot), slot.handedOut, -slot.retries, -slot.atMs]);
  if (replayed !== null) {
    const { createKey, handedOut } = replayed;
    const slot = { state: "created", createKey, retries, atMs: nowMs, handedOut: handedOut + 1 } as const;
    return { kind: "replay", slot };
  }
  // 4.
  return { kind: "open", slot: pending(freshKey, retries, nowMs) };
}

/** `again`: the client was told to try again, or what came of it is not known. `over`: it will not. */
export type Outcome = "created" | "again" | "over";

/** What is kept of a slot whose create was answered; null: nothing. */
export function settle(slot: Slot, outcome: Outcome, nowMs: number): Slot | null {
  // A try that went on with it has its answer already; this one is of an older try.
  if (slot.state === "created") return slot;
  const { createKey, retries } = slot;
  switch (outcome) {
    case "created":
      // Given to a retry at once, if a retry made it.
      return { state: "created", createKey, retries, atMs: nowMs, handedOut: retries === 0 ? 0 : 1 };
    case "again":
      return { state: "rejected", createKey, retries, atMs: nowMs };
    case "over":
      return null;
    default:
      return outcome satisfies never;
  }
}

/** As the SDKs decide whether to try again. */
export function outcomeOf(status: number, shouldRetry: string | null): Outcome {
  if (status < 400) return "created";
  if (shouldRetry === "true" || shouldRetry === "false") return shouldRetry === "true" ? "again" : "over";
  return status === 408 || status === 409 || status === 429 || status >= 500 ? "again" : "over";
}

/** The try that a header of the SDKs names; null for a client that does not number its tries. */
export function retriesOf(header: string | null | undefined): number | null {
  return header !== null && header !== undefined && /^\d{1,4}$/.test(header) ? Number(header) : null;
}

function pending(createKey: CreateKey, retries: number, atMs: number) {
  return { state: "pending", createKey, retries, atMs } as const;
}

/** The one whose rank is lowest, compared from its first number on. */
function best<Kind extends Slot>(slots: readonly Kind[], rank: (slot: Kind) => readonly number[]): Kind | null {
  const ranked = slots.map((slot) => ({ slot, rank: rank(slot) }));
  ranked.sort((a, b) => {
    const at = a.rank.findIndex((value, index) => value !== b.rank[index]);
    return at < 0 ? 0 : (a.rank[at] ?? 0) - (b.rank[at] ?? 0);
  });
  return ranked[0]?.slot ?? null;
}
