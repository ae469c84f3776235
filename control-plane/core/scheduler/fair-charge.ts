/** What the dispatch of a job was charged, to whom, and since which of their comebacks: all it takes to give it back. */
import { remainingChargeMs } from "./event.ts";
import type { QueuedJob } from "./event.ts";
import { shareOf, TAG_UNITS } from "./fair-state.ts";
import type { Account, Tier } from "./fair-state.ts";
import type { CostModel } from "./job-class.ts";

export interface Charge {
  readonly account: Account;
  readonly tier: Tier;
  readonly job: QueuedJob;
  /** Null if another leader charged it: reckoned anew when it ends, once all accounts of the tier are known. */
  readonly units: Units | null;
  readonly accountComebacks: number;
  readonly tierComebacks: number;
}

interface Units {
  readonly account: number;
  readonly tier: number;
}

export function chargeOf(job: QueuedJob, account: Account, units: Units | null): Charge {
  const { tier, comebacks } = account;
  return { account, tier, job, units, accountComebacks: comebacks, tierComebacks: tier.comebacks };
}

/** For what is left to do: over the account's weight, and over its tier's share. */
export function unitsOf(cost: CostModel, job: QueuedJob, { tier }: Account, batch = 1): Units {
  const units = remainingChargeMs(cost, job, batch) * TAG_UNITS;
  return { account: Math.ceil(units / tier.terms.weight), tier: Math.ceil(units / shareOf(tier)) };
}
