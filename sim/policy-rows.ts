/** Every policy beside the others, by geometric means over the workloads. */
import { geometricMean, WAIT_FLOOR_S } from "./goals.ts";
import type { WorkloadRuns } from "./goals.ts";
import type { Summary } from "./summary.ts";

const COLUMNS: readonly (readonly [title: string, of: (summary: Summary) => number | null])[] = [
  ["light p95 s", ({ wait_s: wait }) => seconds(wait.light)],
  ["heavy p95 s", ({ wait_s: wait }) => seconds(wait.heavy)],
  ["pro p95 s", ({ wait_s: wait }) => seconds(wait.tier["pro"])],
  ["plus p95 s", ({ wait_s: wait }) => seconds(wait.tier["plus"])],
  ["free p95 s", ({ wait_s: wait }) => seconds(wait.tier["free"])],
  ["8-GPU p95 s", ({ wait_s: wait }) => seconds(wait.gang8)],
  ["flow / bound", (summary) => summary.mean_flow_s / summary.lower_bounds.mean_flow_s],
  ["makespan / bound", (summary) => summary.makespan_s / summary.lower_bounds.makespan_s],
  ["makespan / capped bound", (summary) => summary.makespan_s / summary.lower_bounds.capped_makespan_s],
  ["cold loads a job", (summary) => summary.cold_loads / summary.jobs],
  ["decisions/s", (summary) => summary.decisions_per_s],
];

export function policyRows(runs: readonly WorkloadRuns[]): readonly (readonly string[])[] {
  const policies = Object.keys(runs[0]?.summaries ?? {});
  const rows = policies.map((policy) => {
    const own = runs.flatMap(({ summaries }) => summaries[policy] ?? []);
    const cells = COLUMNS.map(([, of]) => {
      const values = own.map((summary) => of(summary)).filter((value) => value !== null);
      return values.length === 0 ? "-" : String(Number(geometricMean(values).toPrecision(4)));
    });
    return [policy, ...cells];
  });
  return [["policy", ...COLUMNS.map(([title]) => title)], ...rows];
}

function seconds(wait: { readonly count: number; readonly p95: number } | undefined): number | null {
  return wait === undefined || wait.count === 0 ? null : Math.max(WAIT_FLOOR_S, wait.p95);
}
