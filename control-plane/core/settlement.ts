/** What a job that ends is charged: completed its price, cancelled its done fraction, failed nothing (past a deadline it asked for: as cancelled). How a hold pays it: `ledger.ts`. */
import { invariant } from "#protocol/invariant.ts";
import { milliCredits } from "#protocol/unit.ts";
import type { MilliCredits } from "#protocol/unit.ts";

/** The share of `price` for `stepsDone` of `steps`, rounded down in the user's favour. */
export function chargeFor(price: MilliCredits, stepsDone: number, steps: number): MilliCredits {
  invariant(stepsDone >= 0 && stepsDone <= steps && steps > 0, "done steps lie within the job's steps");
  return milliCredits((price * BigInt(stepsDone)) / BigInt(steps));
}
