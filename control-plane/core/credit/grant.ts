/** Credits that were given at one moment and end together, and the order in which grants are spent. */
import type { CreditPolicy } from "./policy.ts";

/** Ids that begin so belong to grants that a release makes. */
export const MAKE_GOOD_PREFIX = "make_good:";

export type GrantCategory = "promotional" | "plan" | "paid";

export interface Grant {
  readonly id: string;
  readonly amount: bigint;
  /** The first second in which it may be spent. */
  readonly at: number;
  /** The first second in which it may no longer be spent; Infinity if it never ends. */
  readonly deadFrom: number;
  /** The least is spent first. */
  readonly priority: number;
  readonly category: GrantCategory;
}

/** Some of a grant's credits. */
export interface Lot {
  readonly grant: Grant;
  readonly amount: bigint;
}

const CATEGORY_RANK: Readonly<Record<GrantCategory, number>> = { promotional: 0, plan: 1, paid: 2 };

/** Total, because ids are unique: priority, expiry, promotional < plan < paid, start, id. */
export function burnOrder(a: Grant, b: Grant): number {
  return (
    compare(a.priority, b.priority) ||
    compare(a.deadFrom, b.deadFrom) ||
    compare(CATEGORY_RANK[a.category], CATEGORY_RANK[b.category]) ||
    compare(a.at, b.at) ||
    compare(a.id, b.id)
  );
}

export function deadFrom(expiresAt: number | null, end: CreditPolicy["end"]): number {
  if (expiresAt === null) return Infinity;
  return end === "inclusive" ? expiresAt + 1 : expiresAt;
}

/** Not a difference: two grants that never end are Infinity apart from nothing. */
export function compare<T extends number | string>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export function least(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

export function sumOf(lots: readonly Lot[]): bigint {
  return lots.reduce((sum, { amount }) => sum + amount, 0n);
}
