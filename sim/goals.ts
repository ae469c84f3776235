/** What the scheduler has promised, and whether the runs kept it: one row a goal. */
import { round } from "./metrics/percentile.ts";
import type { SimulatedHour } from "./simulated-hour.ts";
import type { Summary } from "./summary.ts";

export interface WorkloadRuns {
  readonly workload: string;
  readonly summaries: Readonly<Record<string, Summary>>;
}

/** Waits are compared as if none were shorter: a ratio of nothing to nothing says nothing. */
export const WAIT_FLOOR_S = 1;
/** Jobs of these classes are too few in some workloads to compare. */
const COMPARED_JOBS_MIN = 20;

interface Goal {
  readonly figure: string;
  /** Per workload; null where it does not apply. */
  readonly of: (own: Summary, others: WorkloadRuns["summaries"]) => number | null;
  /** Over the workloads. */
  readonly fold: "geometric mean" | "worst" | "sum";
  readonly goal: string;
  /** Null: reported only. */
  readonly kept: ((value: number) => boolean) | null;
}

const atLeast = (bound: number) => (value: number) => value >= bound;
const atMost = (bound: number) => (value: number) => value <= bound;

const GOALS: readonly Goal[] = [
  {
    figure: "light accounts' p95 wait, fifo-easy / callsheet",
    of: (own, others) => ratio(others["fifo-easy"]?.wait_s.light, own.wait_s.light),
    fold: "geometric mean",
    goal: ">= 10",
    kept: atLeast(10),
  },
  {
    figure: "beside it: heavy accounts' p95 wait, fifo-easy / callsheet",
    of: (own, others) => ratio(others["fifo-easy"]?.wait_s.heavy, own.wait_s.heavy),
    fold: "geometric mean",
    goal: "shown",
    kept: null,
  },
  ...["round-robin", "stride-count"].map((baseline): Goal => ({
    figure: `pro p95 wait, ${baseline} / callsheet`,
    of: (own, others) => ratio(others[baseline]?.wait_s.tier["pro"], own.wait_s.tier["pro"]),
    fold: "geometric mean",
    goal: ">= 2",
    kept: atLeast(2),
  })),
  {
    figure: "free p95 wait, callsheet / fifo-easy",
    of: (own, others) => ratio(own.wait_s.tier["free"], others["fifo-easy"]?.wait_s.tier["free"]),
    fold: "geometric mean",
    goal: "<= 1.0",
    kept: atMost(1),
  },
  {
    figure: "8-GPU jobs' p95 wait, callsheet / fifo-easy",
    of: (own, others) => ratio(own.wait_s.gang8, others["fifo-easy"]?.wait_s.gang8),
    fold: "geometric mean",
    goal: "<= 1.5",
    kept: atMost(1.5),
  },
  bound("mean flow / lower bound", 2.2, (own) => own.mean_flow_s / own.lower_bounds.mean_flow_s),
  bound("makespan / lower bound", 1.05, (own) => own.makespan_s / own.lower_bounds.makespan_s),
  worst("avoidable idle", 0.02, (own) => own.avoidable_idle_ratio),
  worst("GPU time wasted by preemption", 0.03, (own) => own.wasted_gpu_ratio),
  worst("preemptions of one job", 2, (own) => own.preemptions_per_job_max),
  worst("P1 spread ratio", 1, (own) => own.spread_ratio),
  {
    figure: "beside it: over the costliest job alone, without what may be skipped",
    of: (own) => own.strict_spread_ratio,
    fold: "worst",
    goal: "shown",
    kept: null,
  },
  worst("P2 spread ratio, with joins and leaves", 2, (own) => own.joined_spread_ratio),
  {
    figure: "cap violations and other faults in the log",
    of: (own) => own.cap_violations + own.log_faults.length,
    fold: "sum",
    goal: "0",
    kept: atMost(0),
  },
  {
    figure: "waits >= 60 s that start by their last p90 quote",
    of: (own) => own.eta.started_by_p90,
    fold: "geometric mean",
    goal: "0.85 to 0.95",
    kept: (value) => value >= 0.85 && value <= 0.95,
  },
  {
    figure: "median error of that quote's p50, s",
    of: (own) => own.eta.median_error_p50_s,
    fold: "geometric mean",
    goal: "shown",
    kept: null,
  },
];

export function goalRows(runs: readonly WorkloadRuns[], hour: SimulatedHour): readonly (readonly string[])[] {
  const rows = GOALS.map(({ figure, of, fold, goal, kept }) => {
    const values = runs.map(({ summaries }) => {
      const own = summaries["callsheet"];
      return own === undefined ? null : of(own, summaries);
    });
    const known = values.filter((value) => value !== null);
    const whole = known.length === 0 ? null : folded(known, fold);
    const verdict = whole === null ? "no data" : kept === null ? "-" : kept(whole) ? "kept" : "MISSED";
    return [figure, ...values.map(show), `${show(whole)} (${fold})`, goal, verdict];
  });
  const dashes = runs.map(() => "-");
  const speed = `simulated hour, ${hour.accounts} accounts, ${hour.jobs} jobs: wall s`;
  const inTime = hour.wallS <= 1 ? "kept" : "MISSED";
  return [
    ["figure", ...runs.map(({ workload }) => workload), "over all", "goal", "verdict"],
    ...rows,
    [speed, ...dashes, show(hour.wallS), "<= 1", inTime],
  ];
}

export function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(Math.max(1e-9, value)), 0) / values.length);
}

function folded(values: readonly number[], fold: Goal["fold"]): number {
  if (fold === "worst") return Math.max(...values);
  return fold === "sum" ? values.reduce((sum, value) => sum + value, 0) : geometricMean(values);
}

function bound(figure: string, most: number, of: (own: Summary) => number): Goal {
  return { figure, of, fold: "geometric mean", goal: `<= ${most}`, kept: atMost(most) };
}

function worst(figure: string, most: number, of: (own: Summary) => number): Goal {
  return { figure, of, fold: "worst", goal: `<= ${most}`, kept: atMost(most) };
}

interface Waited {
  readonly count: number;
  readonly p95: number;
}

function ratio(of: Waited | undefined, to: Waited | undefined): number | null {
  if (of === undefined || to === undefined || Math.min(of.count, to.count) < COMPARED_JOBS_MIN) return null;
  return Math.max(WAIT_FLOOR_S, of.p95) / Math.max(WAIT_FLOOR_S, to.p95);
}

function show(value: number | null): string {
  return value === null ? "-" : String(round(value));
}
