/** How fast the simulator is: one hour in which 10,000 accounts each submit a job, on 512 GPUs. */
import { seededCatalog } from "./catalog.ts";
import { readCluster } from "./cluster-file.ts";
import { uniform } from "./noise.ts";
import { policyOf } from "./policies/registry.ts";
import { DEFAULT_OPTIONS, runPolicy } from "./run.ts";
import type { WorkloadLine } from "./workload-file.ts";

const ACCOUNTS = 10_000;
const CLUSTER = "64x8-h100";

export interface SimulatedHour {
  readonly accounts: number;
  readonly jobs: number;
  /** Per simulated hour: the run ends when the last job does. */
  readonly wallS: number;
}

export function simulatedHour(seed: number): SimulatedHour {
  const lines = Array.from({ length: ACCOUNTS }, (_, index): WorkloadLine => {
    const luck = uniform(seed, `tier ${index}`);
    return {
      at_s: (index / ACCOUNTS) * 3_600,
      account: `a${index}`,
      tier: luck < 0.8 ? "free" : luck < 0.95 ? "plus" : "pro",
      model: "wan2.2-t2v-a14b",
      weights: "base",
      size: "832x480",
      seconds: 5,
      steps: 30,
      outcome: "ok",
    };
  });
  const catalog = seededCatalog(lines);
  const policy = policyOf("callsheet", catalog.cost);
  const options = { ...DEFAULT_OPTIONS, seed };
  const { summary } = runPolicy({ lines, catalog, cluster: readCluster(CLUSTER), policy, timeScale: 1, options });
  return { accounts: ACCOUNTS, jobs: summary.jobs, wallS: summary.wall_s / (summary.makespan_s / 3_600) };
}
