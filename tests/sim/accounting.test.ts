/** I9, I10 and I13: what a loss costs, what is counted of a job, and whether quoted starts hold. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { seededCatalog } from "#sim/catalog.ts";
import { readCluster } from "#sim/cluster-file.ts";
import { isAttemptEnd } from "#sim/log-record.ts";
import { policyOf } from "#sim/policies/registry.ts";
import { DEFAULT_OPTIONS, runPolicy } from "#sim/run.ts";
import { stepsKeptAt } from "#sim/sim-job.ts";
import type { Run } from "#sim/sim-job.ts";
import { loadWorkload } from "#sim/workload-source.ts";
import { ask, runToy, toyCluster } from "./toy.ts";

const RUN: Run = {
  runner: "r0",
  devices: ["r0.00"],
  slot: null,
  batch: null,
  batchSize: 1,
  k: 1,
  startMs: 1_000,
  loadMs: 500,
  stepMs: 700,
  tailMs: 0,
  planned: 40,
  stride: 1,
  factor: 1,
  chargeMs: 28_000,
  stopping: false,
};

test("whenever an attempt is lost, less than one checkpoint interval of its steps runs again (I9)", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 0, max: 40_000 }), (stride, atMs) => {
      const run = { ...RUN, stride };
      const done = Math.min(run.planned, Math.floor(Math.max(0, atMs - run.startMs - run.loadMs) / run.stepMs));
      const kept = stepsKeptAt(run, atMs);
      expect(kept).toBeLessThanOrEqual(done);
      expect(done - kept).toBeLessThan(stride);
    }),
  );
});

test("of a job exactly its work is counted, however often its runners fail or others push it aside (I10)", () => {
  const lines = Array.from({ length: 120 }, (_, n) =>
    ask(n * 5, `a${n % 9}`, { steps: 60 + (n % 7) * 40, tier: n % 3 === 0 ? "pro" : "free" }),
  );
  const { log } = runToy(lines, { cluster: toyCluster(4, 2, 0.1), repairMs: 60_000 });
  const asked = new Map<string, number>();
  const counted = new Map<string, number>();
  let attempts = 0;
  for (const record of log.records) {
    if (record.event === "submitted") asked.set(record.job, record.gpu_seconds);
    if (!isAttemptEnd(record)) continue;
    attempts++;
    counted.set(record.job, (counted.get(record.job) ?? 0) + record.gpu_seconds);
  }
  expect(attempts, "some attempts were lost").toBeGreaterThan(lines.length);
  for (const [job, work] of asked) expect(counted.get(job), job).toBeCloseTo(work, 1);
});

test("nine in ten who wait a minute or more start by what they were last told, give or take a twentieth (I13)", () => {
  const lines = loadWorkload("synthetic:viral-spike", 1);
  const catalog = seededCatalog(lines);
  const policy = policyOf("callsheet", catalog.cost);
  const cluster = readCluster("8x8-h100");
  const { summary } = runPolicy({ lines, catalog, cluster, policy, timeScale: 1, options: DEFAULT_OPTIONS });
  expect(summary.eta.jobs).toBeGreaterThan(500);
  expect(summary.eta.started_by_p90).toBeGreaterThanOrEqual(0.85);
  expect(summary.eta.started_by_p90).toBeLessThanOrEqual(0.95);
});
