/** Devices with slots and classes that batch: what the simulated hardware does, what the log says, and what it cannot hide. */
import { describe, expect, test } from "vitest";
import { checkLog } from "#sim/check-log.ts";
import type { LogRecord, RunLog } from "#sim/log-record.ts";
import { readLog, writeLog } from "#sim/log-record.ts";
import { uniform } from "#sim/noise.ts";
import { POLICY_NAMES } from "#sim/policies/registry.ts";
import { drawRuns } from "#sim/svg.ts";
import { ask, batched, half, runToy, toyCluster, wide } from "./toy.ts";

const SHARED = toyCluster(1, 4, null, 2);

function only<Event extends LogRecord["event"]>(log: RunLog, event: Event) {
  return log.records.filter((record): record is Extract<LogRecord, { event: Event }> => record.event === event);
}

function changed(log: RunLog, job: string, change: object): RunLog {
  return {
    ...log,
    records: log.records.map((record) =>
      record.event === "placed" && record.job === job ? { ...record, ...change } : record,
    ),
  };
}

/** All classes, tiers and weights in bursts, more than the cluster holds. */
const MIXED = Array.from({ length: 500 }, (_, index) => {
  const luck = (what: string) => uniform(3, `${what} ${index}`);
  const account = Math.floor(luck("account") ** 2 * 40);
  const make = [ask, batched, half, wide][Math.floor(luck("class") * 4)] ?? ask;
  return make(Math.floor(index / 20) * 15, `a${account}`, {
    tier: account % 5 === 0 ? "pro" : account % 3 === 0 ? "plus" : "free",
    weights: `w${Math.floor(luck("weights") * 3)}`,
    steps: 5 + 5 * Math.floor(luck("steps") * 6),
  });
});

describe.each(POLICY_NAMES)("under %s, on devices with slots", (policy) => {
  test("failing runners and wrong estimates never overdraw a slot, memory or a cap, and every job ends", () => {
    const run = () => runToy(MIXED, { policy, cluster: toyCluster(3, 4, 0.05, 3), estimateError: 0.2 });
    const { log, summary } = run();
    expect(checkLog(log)).toEqual({ faults: [], capViolations: 0 });
    expect(only(log, "placed").some(({ slot }) => slot === 2)).toBe(true);
    expect(only(log, "placed").some(({ batch }) => batch !== undefined)).toBe(policy === "callsheet");
    expect(summary.jobs).toBe(MIXED.length);
    expect(summary.busy_ratio).toBeLessThanOrEqual(1);
    expect(summary.makespan_s).toBeGreaterThan(summary.lower_bounds.makespan_s);
    expect(summary.mean_flow_s).toBeGreaterThan(summary.lower_bounds.mean_flow_s);
    expect(readLog(writeLog(log))).toEqual(log);
    expect(writeLog(run().log)).toBe(writeLog(log));
  });
});

describe("slots", () => {
  test("two jobs on one device run side by side and make it busy once", () => {
    const { log, summary } = runToy([half(0, "a"), half(0, "b")], { cluster: toyCluster(1, 2, null, 2) });
    expect(only(log, "placed").map(({ devices, slot }) => [devices, slot])).toEqual([
      [["r0.00"], 0],
      [["r0.00"], 1],
    ]);
    // The second one's weights are those of the first.
    expect(only(log, "finished").map(({ t_ms }) => t_ms)).toEqual([10_000, 12_000]);
    expect(summary.busy_ratio).toBeCloseTo(((12 + 10) * 0.5) / (2 * 12), 3);
  });

  test("a slot that stays empty while somebody waits for one is avoidable, one without its memory is not", () => {
    const fifo = { policy: "fifo", cluster: toyCluster(1, 1, null, 3) };
    const full = runToy([half(0, "a"), half(0, "b"), half(0, "c")], fifo);
    expect(full.summary.avoidable_idle_ratio).toBe(0);
    const blocked = [ask(0, "a", { steps: 20 }), wide(0, "b"), ask(1, "c", { steps: 18 })];
    const strict = runToy(blocked, { policy: "fifo", cluster: SHARED });
    // 21 s of one slot of eight, and c alone needs none of them whole.
    expect(strict.summary.avoidable_idle_ratio).toBeGreaterThan(0);
    expect(runToy(blocked, { cluster: SHARED }).summary.avoidable_idle_ratio).toBe(0);
  });

  test("two jobs in one slot, a job beside a gang, or more memory than there is do not pass unseen", () => {
    const { log } = runToy([half(0, "a"), half(0, "b"), half(0, "c")], { cluster: toyCluster(1, 2, null, 3) });
    expect(checkLog(log).faults).toEqual([]);
    const faults = (job: string, change: object) => checkLog(changed(log, job, change)).faults;
    expect(faults("j0000001", { slot: 0 })).toContainEqual(expect.stringContaining("while j0000000 holds it"));
    expect(faults("j0000001", { slot: undefined })).toContainEqual(expect.stringContaining("while j0000000 holds it"));
    expect(faults("j0000001", { slot: 3 })).toContainEqual(expect.stringContaining("odd slot"));
    expect(faults("j0000002", { devices: ["r0.00"], slot: 2 })).toContainEqual(
      expect.stringContaining("j0000002 does not fit into r0.00"),
    );
  });
});

describe("batches", () => {
  const three = [batched(0, "a"), batched(0, "b"), batched(0, "c")];

  test("end together, a little later than alone, each charged its part", () => {
    const { log, summary } = runToy(three, { cluster: toyCluster(1, 1) });
    expect(only(log, "placed").map(({ batch, cold_s }) => [batch, cold_s])).toEqual(three.map(() => ["j0000000", 2]));
    expect(only(log, "finished").map(({ t_ms, gpu_seconds }) => [t_ms, gpu_seconds])).toEqual(
      three.map(() => [14_000, 4]),
    );
    expect(summary.busy_ratio).toBe(1);
  });

  test("are as slow as their first job, however wrong the estimates of the others were", () => {
    const { log } = runToy(three, { cluster: toyCluster(1, 1), estimateError: 0.3 });
    expect(new Set(only(log, "finished").map(({ t_ms }) => t_ms)).size).toBe(1);
  });

  test("of too many jobs, or of jobs that differ, do not pass unseen", () => {
    const lines = [...three, batched(0, "d"), batched(0, "e", { weights: "other" })];
    const { log } = runToy(lines, { cluster: toyCluster(1, 3) });
    expect(checkLog(log).faults).toEqual([]);
    const batch = { batch: "j0000000", devices: ["r0.00"] };
    expect(checkLog(changed(log, "j0000003", batch)).faults).toContainEqual(expect.stringContaining("a batch of 4"));
    expect(checkLog(changed(log, "j0000004", batch)).faults).toContainEqual(expect.stringContaining("differs"));
  });
});

test("the picture gives each slot its own line within the device", () => {
  const { log } = runToy([half(0, "a"), half(0, "b")], { cluster: toyCluster(1, 1, null, 2) });
  const [plain] = [runToy([half(0, "a"), half(0, "b")], { cluster: toyCluster(1, 1) }).log];
  // Steps between lines: in a path each bar begins where the last one ended.
  const lines = (run: RunLog) =>
    [...drawRuns([run], "w").matchAll(/m-?[\d.]+ (-?[\d.]+)h/g)].filter(([, step]) => step !== "0").length;
  expect(lines(log)).toBeGreaterThan(lines(plain));
});
