/** The tiers of a simulated run: weights and caps of the product's defaults. */
import type { TierTerms } from "#control-plane/core/scheduler/event.ts";

/** More than any simulated tier asks for: only accounts are capped. */
const UNCAPPED = 1_000_000;

export const TIERS: readonly TierTerms[] = [tier("free", 1, 1), tier("plus", 4, 3), tier("pro", 10, 10)];

/** The same without account caps: what queues do that only order jobs. */
export const UNCAPPED_TIERS: readonly TierTerms[] = TIERS.map((terms) => ({ ...terms, accountRunningMax: UNCAPPED }));

function tier(name: string, weight: number, accountRunningMax: number): TierTerms {
  return {
    tier: name,
    weight,
    shareMin: weight,
    shareMax: UNCAPPED,
    accountRunningMax,
    tierRunningMax: UNCAPPED,
  };
}
