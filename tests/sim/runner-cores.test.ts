/** Every simulated run goes through the real runner's session; what that may not do ends the simulation. */
import { expect, test } from "vitest";
import { DEFAULT_OPTIONS } from "#sim/run.ts";
import { jobsOf } from "#sim/jobs.ts";
import { RunnerCores } from "#sim/runner-cores.ts";
import type { Run } from "#sim/sim-job.ts";
import { ask, toyCatalog } from "./toy.ts";

const RUNNER = {
  id: "r0",
  gpu: "H100-80",
  devices: ["r0.00", "r0.01"].map((id) => ({ id, vramBytes: 80e9, slots: 1 })),
};
const RUN: Run = {
  runner: "r0",
  devices: ["r0.00"],
  k: 1,
  slot: null,
  batch: null,
  batchSize: 1,
  factor: 1,
  startMs: 0,
  loadMs: 0,
  stepMs: 1_000,
  tailMs: 0,
  planned: 10,
  stride: 1,
  chargeMs: 10_000,
  stopping: false,
};

function twoJobs() {
  const lines = [ask(0, "a"), ask(0, "b", { outcome: "failed" })];
  const [first, second] = jobsOf({ lines, catalog: toyCatalog(), timeScale: 1, noise: DEFAULT_OPTIONS });
  if (first === undefined || second === undefined) throw new Error("There are two lines.");
  return { cores: new RunnerCores([RUNNER], 0), first, second };
}

test("a session runs, stops with its checkpoint, resumes under a new epoch, and ends", () => {
  const { cores, first, second } = twoJobs();
  cores.assigned(first, RUN, 0);
  cores.assigned(second, { ...RUN, devices: ["r0.01"] }, 0);
  cores.stepped(first, RUN, 3, 3_000);
  cores.askedToStop(first, RUN, 3_500);
  cores.stopped(first, RUN, 4, 4_000);
  const resumed = { ...first, stepsDone: 4, epoch: 1 };
  cores.assigned(resumed, RUN, 5_000);
  cores.beat(60_000);
  cores.ended(resumed, RUN, 61_000);
  cores.ended(second, { ...RUN, devices: ["r0.01"] }, 61_000);
  expect(() => cores.ended(resumed, RUN, 62_000), "it ends once").toThrow(/does not stage/);
});

test("a placement on a device that still renders is refused, and that ends the simulation", () => {
  const { cores, first, second } = twoJobs();
  cores.assigned(first, RUN, 0);
  expect(() => cores.assigned(second, RUN, 0)).toThrow(/does refused, where accepted is due/);
});

test("a lease that nobody renewed is dropped, and nothing more is said for it", () => {
  const { cores, first } = twoJobs();
  cores.assigned(first, RUN, 0);
  expect(() => cores.beat(200_000)).toThrow(/does kill, where heartbeat is due/);
});

test("a runner that died and came back knows nothing of what it ran", () => {
  const { cores, first } = twoJobs();
  cores.assigned(first, RUN, 0);
  cores.died("r0");
  cores.started("r0", 1_000);
  expect(() => cores.ended(first, RUN, 2_000)).toThrow(/does not stage/);
});
