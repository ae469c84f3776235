/** One policy over one workload: from the lines to the log and its summary. */
import type { Policy } from "#control-plane/core/scheduler/event.ts";
import type { Catalog } from "./catalog.ts";
import type { SimRunner } from "./cluster-file.ts";
import { simulate } from "./engine.ts";
import type { SimOptions } from "./engine.ts";
import { jobsOf } from "./jobs.ts";
import { lowerBounds } from "./lower-bounds.ts";
import type { RunLog } from "./log-record.ts";
import { TIERS } from "./terms.ts";
import { summarize } from "./summary.ts";
import type { Summary } from "./summary.ts";
import type { WorkloadLine } from "./workload-file.ts";

/** A silent runner is noticed when its lease ends, and takes ten minutes to come back. */
export const DEFAULT_OPTIONS: SimOptions = {
  seed: 1,
  tiers: TIERS,
  estimateError: 0.05,
  stragglerShare: 0,
  stragglerFactor: 2,
  leaseMs: 15_000,
  repairMs: 600_000,
  stopwatch: () => performance.now(),
};

export interface RunInput {
  readonly lines: readonly WorkloadLine[];
  readonly catalog: Catalog;
  readonly cluster: readonly SimRunner[];
  readonly policy: Policy;
  readonly name?: string;
  readonly timeScale: number;
  readonly options: SimOptions;
}

export function runPolicy(input: RunInput): { readonly log: RunLog; readonly summary: Summary } {
  const { lines, catalog, cluster, policy, name = policy.name, timeScale, options } = input;
  const jobs = jobsOf({ lines, catalog, timeScale, noise: options });
  const begun = options.stopwatch();
  const result = simulate({ catalog, cluster, jobs, policy, name, options });
  const wallMs = options.stopwatch() - begun;
  return {
    log: result.log,
    summary: summarize(result, lowerBounds(jobs, { catalog, cluster, tiers: options.tiers }), wallMs),
  };
}
