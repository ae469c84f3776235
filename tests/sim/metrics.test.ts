/** The figures of a run, against runs small enough to be worked out by hand. */
import { describe, expect, test } from "vitest";
import { lowerBounds } from "#sim/lower-bounds.ts";
import { jobsOf } from "#sim/jobs.ts";
import { etaQuality } from "#sim/metrics/eta.ts";
import { spreadOf } from "#sim/metrics/spread.ts";
import { percentiles } from "#sim/metrics/percentile.ts";
import { DEFAULT_OPTIONS } from "#sim/run.ts";
import { TIERS } from "#sim/terms.ts";
import type { WorkloadLine } from "#sim/workload-file.ts";
import { ask, runToy, toyCatalog, toyCluster, wide } from "./toy.ts";

const NOISE = { ...DEFAULT_OPTIONS, estimateError: 0 };

function boundsOf(lines: readonly WorkloadLine[], devices: number) {
  const catalog = toyCatalog();
  return lowerBounds(jobsOf({ lines, catalog, timeScale: 1, noise: NOISE }), {
    catalog,
    cluster: toyCluster(1, devices),
    tiers: TIERS,
  });
}

test("percentiles are values that occurred", () => {
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);
  expect(percentiles(hundred)).toEqual({ count: 100, p50: 50, p95: 95, p99: 99 });
  expect(percentiles([])).toEqual({ count: 0, p50: 0, p95: 0, p99: 0 });
});

describe("lower bounds", () => {
  test("no run of four jobs on two devices ends before half of their work is done, or before the last can", () => {
    expect(
      boundsOf(
        [0, 0, 0, 0].map(() => ask(0, "a")),
        2,
      ),
    ).toMatchObject({ makespan_s: 20, mean_flow_s: 12.5 });
    expect(boundsOf([ask(0, "a"), ask(30, "a")], 2)).toMatchObject({ makespan_s: 40, mean_flow_s: 10 });
  });

  test("a gang counts all its devices", () => {
    expect(boundsOf([wide(0, "a"), wide(0, "b")], 4)).toMatchObject({ makespan_s: 20, mean_flow_s: 15 });
  });

  test("an account that may run one job at a time cannot be done sooner than one after the other", () => {
    const own = [0, 0, 0].map(() => ask(0, "a", { tier: "free" }));
    expect(boundsOf(own, 4)).toMatchObject({ makespan_s: 10, capped_makespan_s: 30, capped_mean_flow_s: 20 });
  });
});

describe("waits", () => {
  test("time in the queue counts, by tier, class, and how much an account asks for", () => {
    const heavy = Array.from({ length: 50 }, () => ask(0, "heavy", { steps: 8 }));
    const { summary } = runToy([...heavy, wide(0, "light", { steps: 8 })], { policy: "fifo" });
    expect(summary.wait_s.heavy).toEqual({ count: 50, p50: 50, p95: 90, p99: 98 });
    expect(summary.wait_s.light).toEqual({ count: 1, p50: 106, p95: 106, p99: 106 });
    expect(Object.keys(summary.wait_s.class)).toEqual(["small", "wide"]);
  });
});

describe("fairness", () => {
  /** Two accounts of one tier that always have jobs waiting, one of long jobs; nobody reaches a cap. */
  const rivals = Array.from({ length: 120 }, (_, index) => [
    ask(0, "long", { steps: 30 }),
    ask(0, "short", { steps: index % 2 === 0 ? 5 : 10 }),
  ]).flat();

  test("served by charge, equals never drift apart by more than one job; served by arrival they do", () => {
    const cluster = toyCluster(1, 2);
    const fair = runToy(rivals, { policy: "vtc", cluster }).summary;
    const unfair = runToy(rivals, { policy: "fifo", cluster }).summary;
    expect(fair.spread_ratio).toBeLessThanOrEqual(1);
    expect(fair.joined_spread_ratio).toBeLessThanOrEqual(2);
    expect(unfair.spread_ratio).toBeGreaterThan(10);
    expect(unfair.joined_spread_ratio).toBeGreaterThan(10);
    expect(fair.jain_10min).toBeGreaterThan(unfair.jain_10min);
  });

  test("what is made up to an account that no gang was free for is no lead over those who came later", () => {
    const small = [7, 9, 11, 13].flatMap((steps, n) =>
      Array.from({ length: 20 }, () => ask(0, `small-${n}`, { steps })),
    );
    const gangs = [2, 150].flatMap((at_s) => [0, 0, 0, 0].map(() => wide(at_s, at_s === 2 ? "early" : "late")));
    const { log, summary } = runToy([...small, ...gangs]);
    const order = log.records.flatMap((record) =>
      record.event === "placed" && record.class === "wide" ? [record.account] : [],
    );
    // Virtual time passed `early` by more than its four gangs while none fitted; it is served first, and all of it is owed.
    expect(order).toEqual(["early", "early", "early", "early", "late", "late", "late", "late"]);
    expect(summary.spread_ratio).toBeLessThanOrEqual(1);
    expect(summary.joined_spread_ratio).toBeLessThanOrEqual(1);
  });

  test("credit that was banked by idling is a lead", () => {
    const { config } = runToy([ask(0, "a"), ask(0, "b")]).log;
    const job = (account: string, n: number) => ({ job: `${account}${n}`, account, tier: "pro", class: "small" });
    const attempt = { runner: "r0", devices: ["r0.00"], k: 1, epoch: 1, gpu_seconds: 10, lost_gpu_s: 0, cold_s: 0 };
    const submitted = (account: string, n: number) =>
      ({ event: "submitted", t_ms: 0, ...job(account, n), weights: "w", gpu_seconds: 10 }) as const;
    const served = (account: string, n: number) =>
      ({ event: "placed", t_ms: 0, ...job(account, n), ...attempt }) as const;
    const nine = Array.from({ length: 9 }, (_, n) => n);
    const records = [
      ...nine.map((n) => submitted("b", n)),
      ...nine.slice(0, 4).map((n) => served("b", n)),
      ...nine.map((n) => submitted("a", n)),
      ...nine.slice(0, 4).map((n) => served("a", n)),
    ];
    expect(spreadOf({ config: { ...config, skip_s: 0 }, records }).joined).toBe(4);
  });
});

describe("devices", () => {
  test("idle while a job that fits waits is avoidable, idle with nothing to do is not", () => {
    const lines = [ask(0, "a", { steps: 38 }), wide(0, "b", { steps: 8 }), ask(0, "c", { steps: 18 })];
    const strict = runToy(lines, { policy: "fifo" }).summary;
    const greedy = runToy(lines, { policy: "round-robin" }).summary;
    // 50 s on four devices, then 20 s on one: under strict order device time for c lies idle until the gang has run.
    expect(strict.makespan_s).toBe(68);
    expect(strict.avoidable_idle_ratio).toBeCloseTo(40 / (4 * 68), 4);
    expect(greedy.avoidable_idle_ratio).toBe(0);
    expect(greedy.makespan_s).toBe(50);
  });
});

describe("quotes", () => {
  const base = { job: "j", account: "a", tier: "free", class: "c" };
  const submitted = { event: "submitted", t_ms: 0, ...base, weights: "w", gpu_seconds: 1, eta_p90_s: 300 } as const;
  const attempt = { ...base, runner: "r", devices: ["d"], k: 1, epoch: 1, gpu_seconds: 1, lost_gpu_s: 0, cold_s: 0 };
  const placed = (t_ms: number, eta_p90_s: number) =>
    ({ event: "placed", t_ms, ...attempt, eta_at_ms: 60_000, eta_p50_s: 50, eta_p90_s }) as const;

  test("a start by the last p90 keeps the quote, a later one breaks it", () => {
    const kept = etaQuality([submitted, placed(150_000, 90)]);
    expect(kept).toEqual({ jobs: 1, started_by_p90: 1, median_error_p50_s: 40, error_p90: 1 });
    expect(etaQuality([submitted, placed(150_000, 89)]).started_by_p90).toBe(0);
  });

  test("waits of less than a minute are not judged", () => {
    expect(etaQuality([submitted, placed(59_000, 90)]).jobs).toBe(0);
  });
});
