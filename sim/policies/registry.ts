/**
 * The policies by name: the scheduler itself and what it is compared with. `callsheet+slackMax=0.2+preemptAfterMs=1000` is
 * the scheduler with other thresholds, to see what one of them does.
 */
import type { Policy } from "#control-plane/core/scheduler/event.ts";
import type { CostModel } from "#control-plane/core/scheduler/job-class.ts";
import { PRODUCTION_LIMITS } from "#control-plane/core/scheduler/limits.ts";
import type { SchedulerLimits } from "#control-plane/core/scheduler/limits.ts";
import { Scheduler } from "#control-plane/core/scheduler/scheduler.ts";
import { fifo, fifoEasy, tierStrict } from "./arrival-orders.ts";
import { Baseline } from "./baseline.ts";
import { roundRobin, strideCount, vtc } from "./account-orders.ts";

/** The production thresholds; a dry run a minute, because everybody who waits is quoted as often. */
const SIMULATED_LIMITS: SchedulerLimits = { ...PRODUCTION_LIMITS, dryRunEveryMs: 60_000 };

const POLICIES: Readonly<Record<string, (cost: CostModel) => Policy>> = {
  callsheet: (cost) => new Scheduler(cost, SIMULATED_LIMITS),
  fifo: (cost) => new Baseline(fifo(), cost),
  "fifo-easy": (cost) => new Baseline(fifoEasy(), cost),
  "tier-strict": (cost) => new Baseline(tierStrict(), cost),
  "round-robin": (cost) => new Baseline(roundRobin(), cost),
  "stride-count": (cost) => new Baseline(strideCount(), cost),
  vtc: (cost) => new Baseline(vtc(cost), cost),
};

export const POLICY_NAMES: readonly string[] = Object.keys(POLICIES);

export function policyOf(name: string, cost: CostModel): Policy {
  const [base = "", ...changes] = name.split("+");
  if (base === "callsheet" && changes.length > 0) return new Scheduler(cost, changedLimits(changes));
  const make = POLICIES[name];
  if (make === undefined) throw new Error(`Unknown policy '${name}'. Known: ${POLICY_NAMES.join(", ")}.`);
  return make(cost);
}

function changedLimits(changes: readonly string[]): SchedulerLimits {
  const changed = changes.map((change): [string, number] => {
    const [limit = "", value = ""] = change.split("=");
    if (!Object.hasOwn(SIMULATED_LIMITS, limit) || value === "" || Number.isNaN(Number(value))) {
      throw new Error(`'${change}' changes no threshold. There are: ${Object.keys(SIMULATED_LIMITS).join(", ")}.`);
    }
    return [limit, Number(value)];
  });
  return { ...SIMULATED_LIMITS, ...Object.fromEntries(changed) };
}
