import { expect, test } from "vitest";
import { BUDGET_WINDOW_MS, chanceOf, spreadMs, SPREAD_MS_MAX } from "#control-plane/core/retry-budget.ts";
import { afterLoss, afterRunError, ENGINE_RESUMES_MAX, RUNNER_DEATHS_MAX } from "#control-plane/core/retry.ts";
import { PRODUCTION_LIMITS } from "#control-plane/core/scheduler/limits.ts";
import type { RunError } from "#protocol/runner.ts";

const QUIET = { broken: 1, dispatched: 10, perMinute: null };
const fresh = { id: "video_a", attempts: 1, runnerDeaths: 0, engineFailures: 0, runAlone: false };
const error = (of: RunError["class"]): RunError => ({ class: of, code: "x", detail: "" });

test("the first retry goes at once, whatever broke", () => {
  expect(afterLoss(fresh, 1, QUIET)).toMatchObject({ kind: "retry", delayMs: 0 });
  for (const of of ["capacity", "engine_fatal", "retryable", "gpu_fatal", "host_fatal"] as const)
    expect(afterRunError(error(of), fresh, QUIET)).toMatchObject({ kind: "retry", delayMs: 0 });
});

test("faults of the infrastructure never use up a job; its own engine failures and its runners' deaths do", () => {
  const tired = { ...fresh, attempts: 50, runnerDeaths: RUNNER_DEATHS_MAX - 1, engineFailures: ENGINE_RESUMES_MAX };
  for (const of of ["retryable", "gpu_fatal", "host_fatal"] as const)
    expect(afterRunError(error(of), tired, QUIET)).toMatchObject({ kind: "retry", engineFailures: ENGINE_RESUMES_MAX });
  for (const of of ["capacity", "engine_fatal"] as const)
    expect(afterRunError(error(of), tired, QUIET)).toMatchObject({ kind: "fail", failure: { fault: "platform" } });
  expect(afterLoss(tired, 1, QUIET)).toMatchObject({
    kind: "fail",
    failure: { code: "runner_crashed", fault: "platform" },
  });
  expect(afterRunError(error("user"), fresh, QUIET)).toMatchObject({ kind: "fail", failure: { fault: "user" } });
});

test("later retries wait a random part of a window that doubles up to half a minute", () => {
  const waits = Array.from({ length: 2_000 }, (_, n) => {
    const verdict = afterRunError(error("retryable"), { ...fresh, id: `video_${n}`, attempts: 30 }, QUIET);
    return verdict.kind === "retry" ? verdict.delayMs : NaN;
  });
  expect(Math.max(...waits)).toBeLessThan(30_000);
  expect(waits.reduce((sum, ms) => sum + ms, 0) / waits.length / 15_000).toBeCloseTo(1, 1);
});

test("of a thousand jobs that break at once no second starts more than three times its share", () => {
  const perSecond = new Map<number, number>();
  let lastMs = 0;
  for (let n = 0; n < 1_000; n++) {
    const load = { broken: n, dispatched: 1_000, perMinute: null };
    const verdict = afterLoss({ ...fresh, id: `video_${n}` }, 1, load);
    if (verdict.kind === "fail") throw new Error("one death is no poison");
    const second = Math.floor(verdict.delayMs / 1_000);
    perSecond.set(second, (perSecond.get(second) ?? 0) + 1);
    lastMs = Math.max(lastMs, verdict.delayMs);
  }
  const mean = 1_000 / (lastMs / 1_000);
  expect(Math.max(...perSecond.values()) / mean).toBeLessThanOrEqual(3);
});

test("retries are not spread while half of the budget is left: a tenth of what is dispatched, or what the operator says", () => {
  const perWindow = (PRODUCTION_LIMITS.retriesPerMinute * BUDGET_WINDOW_MS) / 60_000;
  expect(spreadMs({ broken: perWindow / 2, dispatched: 0, perMinute: null })).toBe(0);
  expect(spreadMs({ broken: perWindow, dispatched: 0, perMinute: null })).toBe(SPREAD_MS_MAX);
  expect(spreadMs({ broken: perWindow, dispatched: 20 * perWindow, perMinute: null })).toBe(0);
  expect(spreadMs({ broken: perWindow, dispatched: 0, perMinute: 1_000 })).toBe(0);
});

test("the jitter of jobs is even and independent of how alike their ids are (chi-square, 99.9 %)", () => {
  const counts = Array.from({ length: 20 }, () => 0);
  for (let n = 0; n < 20_000; n++) {
    const bin = Math.floor(chanceOf(`video_${n.toString(16).padStart(32, "0")}`, 1) * counts.length);
    counts[bin] = (counts[bin] ?? 0) + 1;
  }
  expect(counts.reduce((sum, count) => sum + (count - 1_000) ** 2 / 1_000, 0)).toBeLessThan(43.8);
});

test("a death with several jobs aboard counts against none of them: each is to run alone", () => {
  const tired = { ...fresh, runnerDeaths: RUNNER_DEATHS_MAX - 1 };
  expect(afterLoss(tired, 2, QUIET)).toMatchObject({ kind: "retry", runnerDeaths: tired.runnerDeaths, runAlone: true });
});
