/** Who pays what when a job ends: completed pays the price, cancelled its done fraction, failed nothing. */
import { invariant } from "#protocol/invariant.ts";
import { milliCredits } from "#protocol/unit.ts";
import type { MilliCredits } from "#protocol/unit.ts";

/** The share of `price` for `stepsDone` of `steps`, rounded down in the user's favour. */
export function chargeFor(price: MilliCredits, stepsDone: number, steps: number): MilliCredits {
  invariant(stepsDone >= 0 && stepsDone <= steps && steps > 0, "done steps lie within the job's steps");
  return milliCredits((price * BigInt(stepsDone)) / BigInt(steps));
}

export interface Lot {
  readonly grantId: string;
  readonly amount: MilliCredits;
}

/** Splits a charge over the pinned lots, in burn order; what a lot keeps is released. */
export function captureFrom(
  lots: readonly Lot[],
  charge: MilliCredits,
): readonly (Lot & { readonly captured: MilliCredits })[] {
  let left: bigint = charge;
  const split = lots.map((lot) => {
    const captured = left < lot.amount ? left : lot.amount;
    left -= captured;
    return { ...lot, captured: milliCredits(captured) };
  });
  invariant(left === 0n, "a charge never exceeds its hold");
  return split;
}
