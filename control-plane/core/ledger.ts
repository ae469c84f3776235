/**
 * What the ledger posts: which lots a hold or a deduction takes, how a settled hold splits over its lots, what a release gives
 * back, forfeits or makes good, what an expiry or a void leaves.
 *
 * Credits of a grant are in one of five books, and a posting moves some from one book to another. The order in which grants
 * burn, and every rule here, are the calculator's (`core/credit-calculator.ts`), which replays the journal as its oracle.
 */
import { invariant } from "#protocol/invariant.ts";
import { milliCredits } from "#protocol/unit.ts";
import type { MilliCredits } from "#protocol/unit.ts";
import { burnOrder, least, MAKE_GOOD_PREFIX } from "./credit/grant.ts";
import type { GrantCategory } from "./credit/grant.ts";

/** `issued` is outside of every grant: where funds come from. */
export const BOOKS = ["issued", "available", "held", "consumed", "expired", "voided"] as const;
export type Book = (typeof BOOKS)[number];

export const ENTRY_KINDS = [
  "funded",
  "held",
  "captured",
  "released",
  "expired", // of a hold's lot: given back too late, forfeited
  "voided",
  "make_good",
  "adjusted",
  "refunded",
] as const;
export type EntryKind = (typeof ENTRY_KINDS)[number];

export const ACT_KINDS = ["grant", "void", "adjust", "refund"] as const;
export type ActKind = (typeof ACT_KINDS)[number];

/** A make-good grant lives this long; `settle` is told when that is over. */
export const MAKE_GOOD_MS = 72 * 3_600_000;

/** A grant as it stands under the account's lock. */
export interface GrantRecord {
  readonly id: string;
  readonly available: MilliCredits;
  readonly category: GrantCategory;
  readonly priority: number;
  readonly effectiveAt: Date;
  readonly expiresAt: Date | null;
  readonly expiredAt: Date | null;
  readonly voidedAt: Date | null;
}

/** What a hold pinned of a grant. */
export interface PinnedLot {
  readonly grant: GrantRecord;
  readonly amount: MilliCredits;
}

export interface Posting {
  readonly kind: EntryKind;
  readonly grantId: string;
  readonly from: Book;
  readonly to: Book;
  readonly amount: MilliCredits;
}

/** A grant that the ledger makes by itself. */
export interface MakeGood {
  readonly id: string;
  readonly amount: MilliCredits;
  readonly category: GrantCategory;
  readonly priority: number;
  readonly effectiveAt: Date;
  readonly expiresAt: Date;
}

export interface Settlement {
  readonly postings: readonly Posting[];
  /** Of each lot, in the order given. */
  readonly captured: readonly MilliCredits[];
  readonly makeGood: MakeGood | null;
}

/** What an ended grant's credits become that nobody holds any more; null: it can be spent. */
export function endOf(grant: GrantRecord, at: Date): "voided" | "expired" | null {
  if (grant.voidedAt !== null) return "voided";
  const isOver = grant.expiredAt !== null || (grant.expiresAt !== null && grant.expiresAt <= at);
  return isOver ? "expired" : null;
}

export function canSpend(grant: GrantRecord, at: Date): boolean {
  return grant.effectiveAt <= at && endOf(grant, at) === null;
}

/** What could be held at `at`. */
export function spendableOf(grants: readonly GrantRecord[], at: Date): MilliCredits {
  return milliCredits(sum(grants.filter((grant) => canSpend(grant, at)).map(({ available }) => available)));
}

/** Takes so much from what can be spent, in burn order; null if it is not there. The submit statement does the same in SQL. */
export function deduct(grants: readonly GrantRecord[], amount: bigint, at: Date): readonly Posting[] | null {
  let left = amount;
  const postings: Posting[] = [];
  for (const grant of grants.filter((candidate) => canSpend(candidate, at)).toSorted(byBurnOrder)) {
    const part = least(left, grant.available);
    left -= part;
    if (part > 0n) postings.push(move("adjusted", grant.id, "available", "consumed", part));
  }
  return left === 0n ? postings : null;
}

export interface When {
  readonly at: Date;
  /** The end of a grant that this may make. */
  readonly makeGoodUntil: Date;
  readonly fault: "user" | "platform";
}

/**
 * Ends a hold: `charge` is captured, lots that burn first paying first, and the rest is released. An ended grant gets
 * nothing back: of a voided one it is voided, of an expired one forfeited, and made good if the platform was at fault.
 */
export function settle(
  job: string,
  lots: readonly PinnedLot[],
  charge: MilliCredits,
  { at, makeGoodUntil, fault }: When,
): Settlement {
  let left: bigint = charge;
  const captured: MilliCredits[] = [];
  const postings: Posting[] = [];
  const forfeited: PinnedLot[] = [];
  for (const { grant, amount } of lots) {
    const part = least(left, amount);
    const rest = amount - part;
    left -= part;
    captured.push(milliCredits(part));
    if (part > 0n) postings.push(move("captured", grant.id, "held", "consumed", part));
    if (rest === 0n) continue;
    const end = endOf(grant, at);
    if (end === null) postings.push(move("released", grant.id, "held", "available", rest));
    else postings.push(move(end, grant.id, "held", end, rest));
    if (end === "expired") forfeited.push({ grant, amount: milliCredits(rest) });
  }
  invariant(left === 0n, "a charge never exceeds its hold");
  return { postings, captured, makeGood: fault === "platform" ? makeGoodOf(job, forfeited, at, makeGoodUntil) : null };
}

/** One new grant for all that a release lost, of the kind of the first grant that lost something. */
function makeGoodOf(job: string, forfeited: readonly PinnedLot[], at: Date, until: Date): MakeGood | null {
  const [first] = forfeited;
  if (first === undefined) return null;
  return {
    id: `${MAKE_GOOD_PREFIX}${job}`,
    amount: milliCredits(sum(forfeited.map(({ amount }) => amount))),
    category: first.grant.category,
    priority: first.grant.priority,
    effectiveAt: at,
    expiresAt: until,
  };
}

export function issue(kind: "funded" | "adjusted" | "make_good", grantId: string, amount: MilliCredits): Posting {
  return move(kind, grantId, "issued", "available", amount);
}

/** Ends what is free of a grant; what holds have pinned ends when they give it back. */
export function end(kind: "expired" | "voided", grant: GrantRecord): readonly Posting[] {
  return grant.available === 0n ? [] : [move(kind, grant.id, "available", kind, grant.available)];
}

/** Gives a capture back to the grant that paid it; of one that has ended it ends at once. */
export function refund(grant: GrantRecord, amount: MilliCredits, at: Date): Posting {
  return move("refunded", grant.id, "consumed", endOf(grant, at) ?? "available", amount);
}

function move(kind: EntryKind, grantId: string, from: Book, to: Book, amount: bigint): Posting {
  return { kind, grantId, from, to, amount: milliCredits(amount) };
}

function byBurnOrder(a: GrantRecord, b: GrantRecord): number {
  return burnOrder(calculatorGrant(a), calculatorGrant(b));
}

/** The calculator's order looks at all but the amount. */
function calculatorGrant({ id, category, priority, effectiveAt, expiresAt }: GrantRecord) {
  const [at, deadFrom] = [effectiveAt.getTime(), expiresAt?.getTime() ?? Infinity];
  return { id, amount: 0n, at, deadFrom, priority, category };
}

function sum(amounts: readonly bigint[]): bigint {
  return amounts.reduce((total, amount) => total + amount, 0n);
}
