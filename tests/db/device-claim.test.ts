import { afterEach, beforeEach, expect, test } from "vitest";
import { PRODUCTION_LIMITS } from "#control-plane/core/scheduler/limits.ts";
import { takeLeadership } from "#control-plane/db/leader.ts";
import { SchedulerLoop } from "#control-plane/loop/scheduler-loop.ts";
import { systemClock } from "#control-plane/system-clock.ts";
import { DiskStore } from "#control-plane/store/disk-store.ts";
import { dispatch } from "#control-plane/usecase/dispatch.ts";
import type { Dispatched, DispatchOutcome } from "#control-plane/usecase/dispatch.ts";
import { recordEnd } from "#control-plane/usecase/record-run.ts";
import { DeviceId } from "#protocol/id.ts";
import type { AccountId, VideoId } from "#protocol/id.ts";
import { until } from "#tests/support/product.ts";
import { anArtifact, NO_CLOCK, RUNNER, Studio } from "#tests/support/studio.ts";
import { QUIET } from "#tests/support/quiet-host.ts";

let studio: Studio;
let account: AccountId;
let epoch: number;
beforeEach(async () => {
  studio = await Studio.open();
  account = await studio.account("pro", { amount: "1000" });
  epoch = (await takeLeadership(studio.sql, "test", null, 60_000)) ?? 0;
});
afterEach(() => studio.close());

/** On a runner whose devices have two slots each. */
async function place(job: VideoId, devices: readonly string[], slot: number | null): Promise<DispatchOutcome> {
  const batch = [{ job, runner: RUNNER, devices: devices.map((id) => DeviceId.parse(id)), slot, slots: 2 }];
  return dispatch(studio.sql, epoch, batch, NO_CLOCK);
}

async function jobs(count: number): Promise<readonly VideoId[]> {
  const ids: VideoId[] = [];
  for (let n = 0; n < count; n++) ids.push((await studio.submitted(account)).id);
  return ids;
}

async function finish(job: VideoId): Promise<void> {
  const artifact = { artifact: anArtifact(), artifactKey: "jobs/x/1/a.mp4" };
  const ended = await recordEnd(studio.sql, { job, epoch: 1 }, { kind: "finished", epoch: 1, ...artifact });
  expect(ended.ok).toBe(true);
}

const started = (outcome: DispatchOutcome) => outcome.dispatched.map(({ job }) => job.id);

test("two jobs share a device by its slots, a third finds both held and still waits", async () => {
  const [a, b, c] = await jobs(3);
  if (a === undefined || b === undefined || c === undefined) throw new Error("three jobs were made");
  expect(started(await place(a, ["gpu-0"], 0))).toEqual([a]);
  expect(started(await place(b, ["gpu-0"], 1))).toEqual([b]);
  for (const slot of [0, 1, null]) {
    expect(await place(c, ["gpu-0"], slot)).toEqual({ dispatched: [], refused: [], held: [c] });
  }
  expect(await studio.job(c)).toMatchObject({ state: "queued", epoch: 0, attempts: 0 });
  expect(await studio.job(b)).toMatchObject({ state: "starting", slot: 1 });
});

test("a gang takes devices only if nobody is on them, and nobody joins it there", async () => {
  const [a, gang, late] = await jobs(3);
  if (a === undefined || gang === undefined || late === undefined) throw new Error("three jobs were made");
  await place(a, ["gpu-1"], 1);
  expect((await place(gang, ["gpu-0", "gpu-1"], null)).held).toEqual([gang]);
  await finish(a);
  expect(started(await place(gang, ["gpu-0", "gpu-1"], null))).toEqual([gang]);
  expect((await place(late, ["gpu-1"], 0)).held).toEqual([late]);
});

test("whatever takes a job off its runner gives its slot to the next", async () => {
  const [a, b] = await jobs(2);
  if (a === undefined || b === undefined) throw new Error("two jobs were made");
  await place(a, ["gpu-0"], 0);
  await recordEnd(studio.sql, { job: a, epoch: 1 }, { kind: "lost", epoch: 1, how: "died", aboard: 1 });
  expect(await studio.job(a)).toMatchObject({ state: "retrying", slot: null, devices: null });
  expect(started(await place(b, ["gpu-0"], 0))).toEqual([b]);
});

test("a leader that cannot know who holds a device tries again until the lease is over", async () => {
  const [a, b] = await jobs(2);
  if (a === undefined || b === undefined) throw new Error("two jobs were made");
  // The runner was never registered: after a takeover nobody can say what its devices are.
  await place(a, ["gpu-0"], null);
  const sent = Promise.withResolvers<VideoId>();
  const host = {
    clock: systemClock,
    ...QUIET,
    limits: PRODUCTION_LIMITS,
    send: (work: Dispatched) => sent.resolve(work.job.id),
    stop: () => undefined,
    trust: () => undefined,
  };
  const loop = new SchedulerLoop(studio.sql, new DiskStore("/nowhere"), epoch, host);
  await loop.load();
  loop.runnerUp({
    id: RUNNER,
    gpu: "CPU",
    devices: [{ id: "gpu-0", vramBytes: 80e9, slots: 2 }],
    models: ["reference"],
  });
  loop.start();
  await until("it was refused once", 10_000, async () => loop.explain(b).blockedBy === "backoff");
  expect(await studio.job(b)).toMatchObject({ state: "queued", attempts: 0 });
  await finish(a);
  expect(await sent.promise).toBe(b);
  await loop.stop();
});

test("a job that moved on is refused, and claims nothing", async () => {
  const [a, b] = await jobs(2);
  if (a === undefined || b === undefined) throw new Error("two jobs were made");
  await place(a, ["gpu-0"], 0);
  expect(await place(a, ["gpu-0"], 1)).toEqual({ dispatched: [], refused: [a], held: [] });
  expect(started(await place(b, ["gpu-0"], 1))).toEqual([b]);
});
