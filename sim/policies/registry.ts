/** The policies by name: the scheduler itself and what it is compared with. */
import type { Policy } from "#control-plane/core/scheduler/event.ts";
import type { CostModel } from "#control-plane/core/scheduler/job-class.ts";
import { Scheduler } from "#control-plane/core/scheduler/scheduler.ts";
import { fifo, fifoEasy, tierStrict } from "./arrival-orders.ts";
import { Baseline } from "./baseline.ts";
import { roundRobin, strideCount, vtc } from "./account-orders.ts";

const POLICIES: Readonly<Record<string, (cost: CostModel) => Policy>> = {
  callsheet: (cost) => new Scheduler(cost),
  fifo: (cost) => new Baseline(fifo(), cost),
  "fifo-easy": (cost) => new Baseline(fifoEasy(), cost),
  "tier-strict": (cost) => new Baseline(tierStrict(), cost),
  "round-robin": (cost) => new Baseline(roundRobin(), cost),
  "stride-count": (cost) => new Baseline(strideCount(), cost),
  vtc: (cost) => new Baseline(vtc(cost), cost),
};

export const POLICY_NAMES: readonly string[] = Object.keys(POLICIES);

export function policyOf(name: string, cost: CostModel): Policy {
  const make = POLICIES[name];
  if (make === undefined) throw new Error(`Unknown policy '${name}'. Known: ${POLICY_NAMES.join(", ")}.`);
  return make(cost);
}
