/** The engine: virtual time, cold loads, step boundaries, failures, and a log that can be trusted. */
import { describe, expect, test } from "vitest";
import type { Place, Policy, QueuedJob, RunnerTerms, SchedulerEvent } from "#control-plane/core/scheduler/event.ts";
import { checkLog } from "#sim/check-log.ts";
import { readLog, writeLog } from "#sim/log-record.ts";
import { uniform } from "#sim/noise.ts";
import { POLICY_NAMES } from "#sim/policies/registry.ts";
import { ask, runToy, startOf, toyCluster, wide } from "./toy.ts";

/** Forty accounts of all tiers, four weights, both classes, bursts. */
const MIXED = Array.from({ length: 400 }, (_, index) => {
  const luck = (what: string) => uniform(7, `${what} ${index}`);
  const account = Math.floor(luck("account") ** 2 * 40);
  const make = luck("class") < 0.2 ? wide : ask;
  return make(Math.floor(index / 20) * 15, `a${account}`, {
    tier: account % 5 === 0 ? "pro" : account % 3 === 0 ? "plus" : "free",
    weights: `w${Math.floor(luck("weights") * 4)}`,
    steps: 5 + Math.floor(luck("steps") * 30),
    outcome: luck("outcome") < 0.03 ? "failed" : "ok",
  });
});
const HARD = { cluster: toyCluster(3, 8, 0.05), estimateError: 0.2, stragglerShare: 0.1 };

describe.each(POLICY_NAMES)("under %s", (policy) => {
  test("the same seed writes the same log, byte for byte, and another seed another one", () => {
    const [first, again, other] = [1, 1, 2].map((seed) => writeLog(runToy(MIXED, { policy, ...HARD, seed }).log));
    expect(again).toBe(first);
    expect(other).not.toBe(first);
  });

  test("failing runners, stragglers and wrong estimates never break capacity or caps, and every job ends", () => {
    const { log, summary } = runToy(MIXED, { policy, ...HARD });
    expect(checkLog(log)).toEqual({ faults: [], capViolations: 0 });
    expect(log.records.some(({ event }) => event === "job_lost")).toBe(true);
    expect(summary.jobs).toBe(MIXED.length);
    expect(summary.makespan_s).toBeGreaterThan(summary.lower_bounds.capped_makespan_s);
    expect(summary.mean_flow_s).toBeGreaterThan(summary.lower_bounds.capped_mean_flow_s);
  });
});

describe("the log", () => {
  test("read back from its file it is the log that was written", () => {
    const { log } = runToy(MIXED, HARD);
    expect(readLog(writeLog(log))).toEqual(log);
  });

  test("two jobs on one device, or one more than the cap, do not pass unseen", () => {
    const { log } = runToy([ask(0, "a", { tier: "free" }), ask(0, "b", { tier: "free" })]);
    const swap = (change: object) => ({
      ...log,
      records: log.records.map((record) =>
        record.event === "placed" && record.job === "j0000001" ? { ...record, ...change } : record,
      ),
    });
    expect(checkLog(log).faults).toEqual([]);
    expect(checkLog(swap({ devices: ["r0.00"] })).faults).toContainEqual(
      expect.stringContaining("r0.00 is given to j0000001 while j0000000 holds it"),
    );
    expect(checkLog(swap({ account: "a" })).capViolations).toBe(1);
  });
});

describe("time", () => {
  test("the first job on a device loads its weights, the next one of the same weights does not", () => {
    const { log, summary } = runToy([ask(0, "a"), ask(100, "a"), ask(200, "a", { weights: "other" })], {
      cluster: toyCluster(1, 1),
    });
    const ended = log.records.filter(({ event }) => event === "finished").map(({ t_ms }) => t_ms);
    expect(ended).toEqual([12_000, 110_000, 212_000]);
    expect(summary.cold_loads).toBe(2);
  });

  test("a request that fails does so after all its work; one that no class holds is rejected", () => {
    const { log, summary } = runToy([ask(0, "a", { outcome: "failed" }), ask(0, "b", { size: "9x9" })]);
    expect(log.records.find(({ event }) => event === "failed")?.t_ms).toBe(12_000);
    expect(summary).toMatchObject({ jobs: 1, rejected: 1 });
  });

  test("a job on a runner that dies goes on from its last whole step when its lease has ended", () => {
    const { log } = runToy([ask(0, "a", { steps: 3_000 })], { cluster: toyCluster(1, 1, 0.4), repairMs: 60_000 });
    const lost = log.records.find((record) => record.event === "job_lost");
    const again = log.records.filter((record) => record.event === "placed")[1];
    const stepsKept = Math.floor((lost?.t_ms ?? 0) / 1_000 - 15 - 2);
    expect(lost?.gpu_seconds).toBe(stepsKept);
    expect(again).toMatchObject({ t_ms: (lost?.t_ms ?? 0) + 60_000, gpu_seconds: 3_000 - stepsKept, lost_gpu_s: 2 });
  });

  test("a preempted job stops at its next step boundary and keeps every step", () => {
    const { log } = runToy([ask(0, "a", { steps: 20 }), ask(5.5, "b")], {
      policy: new Pusher(),
      cluster: toyCluster(1, 1),
    });
    const told = log.records.map((record) => `${record.t_ms} ${record.event} ${"job" in record ? record.job : ""}`);
    expect(told).toEqual([
      "0 submitted j0000000",
      "0 placed j0000000",
      "5500 submitted j0000001",
      "6000 checkpointed j0000000",
      "6000 preempted j0000000",
      "6000 placed j0000001",
      "16000 finished j0000001",
      "16000 placed j0000000",
      "32000 finished j0000000",
    ]);
  });
});

describe("the baselines", () => {
  const blockedHead = [ask(0, "a", { steps: 30 }), wide(1, "b"), ask(2, "c", { steps: 5 }), ask(3, "d", { steps: 60 })];

  test("under fifo nothing overtakes a gang that waits", () => {
    const { log } = runToy(blockedHead, { policy: "fifo" });
    expect([1, 2, 3].map((line) => startOf(log, line))).toEqual([32, 44, 44]);
  });

  test("under fifo-easy short jobs overtake it, and what would delay it does not", () => {
    const { log } = runToy(blockedHead, { policy: "fifo-easy" });
    expect([1, 2, 3].map((line) => startOf(log, line))).toEqual([32, 2, 44]);
  });

  test("under tier-strict the paying tier goes first, under round-robin every account in turn", () => {
    const flood = [0, 1, 2, 3].map((second) => ask(second / 10, "flood", { tier: "pro" }));
    const lines = [...flood, ask(1, "late", { tier: "free" })];
    const cluster = toyCluster(1, 1);
    expect(startOf(runToy(lines, { policy: "tier-strict", cluster }).log, 4)).toBe(42);
    expect(startOf(runToy(lines, { policy: "round-robin", cluster }).log, 4)).toBe(22);
  });

  test("stride-count weighs jobs alike, vtc weighs what they cost", () => {
    const long = Array.from({ length: 4 }, () => ask(0, "long", { steps: 40 }));
    const short = Array.from({ length: 4 }, () => ask(0, "short", { steps: 10 }));
    const cluster = toyCluster(1, 1);
    const secondLong = (policy: string) => startOf(runToy([...long, ...short], { policy, cluster }).log, 1);
    expect(secondLong("stride-count")).toBe(52);
    expect(secondLong("vtc")).toBe(82);
  });
});

/** Preempts whatever runs for whatever came later; resumes it when the device is free. */
class Pusher implements Policy {
  readonly name = "pusher";
  #waiting: readonly QueuedJob[] = [];
  #runner: RunnerTerms | null = null;
  #running: string | null = null;

  apply(event: SchedulerEvent): void {
    if (event.t === "runner_up") this.#runner = event.runner;
    if (event.t === "queued") this.#waiting = [event.job, ...this.#waiting];
    if (event.t === "requeued") this.#waiting = [...this.#waiting, event.job];
    if (event.t === "requeued" || event.t === "ended") this.#running = null;
  }

  decide(): ReturnType<Policy["decide"]> {
    const [job, ...rest] = this.#waiting;
    if (job === undefined || this.#runner === null) return [];
    if (this.#running !== null) {
      const victim = this.#running;
      if (job.preemptions > 0) return [];
      this.#running = "stopping";
      return victim === "stopping" ? [] : [{ t: "preempt", job: victim, for: job.id }];
    }
    this.#waiting = rest;
    this.#running = job.id;
    const devices = this.#runner.devices.map((device) => device.id);
    const where = { runner: this.#runner.id, devices, k: 1, slot: null, batch: null, vramBytes: 0 };
    const place: Place = { t: "place", job, ...where, coldMs: 0, estimateMs: 0 };
    return [place];
  }

  nextWakeMs(): null {
    return null;
  }

  quote(): null {
    return null;
  }
}
