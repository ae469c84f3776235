import { afterAll, beforeAll, expect, test } from "vitest";
import { cancelVideo, deleteVideo } from "#control-plane/usecase/change-video.ts";
import { recordCheckpoint, recordEnd, recordProgress, renew } from "#control-plane/usecase/record-run.ts";
import { readVideo } from "#control-plane/usecase/read-account.ts";
import { sweepLeases, sweepOld } from "#control-plane/usecase/lead.ts";
import { insertEndpoint } from "#control-plane/db/webhook-endpoints.ts";
import { NotLeaderError } from "#control-plane/db/leader.ts";
import { dispatch } from "#control-plane/usecase/dispatch.ts";
import { DeviceId, RunnerId } from "#protocol/id.ts";
import type { LeaseRef } from "#protocol/runner.ts";
import { anArtifact, NO_CLOCK, RUNNER, sha256, Studio } from "#tests/support/studio.ts";

let studio: Studio;
beforeAll(async () => {
  studio = await Studio.open();
});
afterAll(() => studio.close());

const KEY = "jobs/x/1/a.mp4";

async function aRunningJob() {
  const account = await studio.account("pro", { amount: "100" });
  const job = await studio.submitted(account);
  const { job: started } = await studio.dispatched(job.id);
  const lease: LeaseRef = { job: job.id, epoch: started.epoch };
  return { account, lease, id: job.id };
}

function finish(lease: LeaseRef) {
  const event = { kind: "finished", epoch: lease.epoch, artifact: anArtifact(), artifactKey: KEY } as const;
  return recordEnd(studio.sql, lease, event);
}

function checkpointAt(lease: LeaseRef, step: number) {
  const stored = { storeKey: `jobs/x/${lease.epoch}/c${step}.safetensors`, sha256: sha256("d"), bytes: 10 } as const;
  return recordCheckpoint(studio.sql, { lease, step, exactness: "exact", ...stored });
}

test("a finished job is charged its price once, and its events are numbered without a gap", async () => {
  const { account, lease, id } = await aRunningJob();
  await recordProgress(studio.sql, [{ lease, progress: 40, uploading: false }]);
  expect((await finish(lease)).ok).toBe(true);
  expect(await finish(lease)).toEqual({ ok: false, refusal: "ended" });
  expect(await studio.purse(account)).toEqual({ held: 0n, consumed: 250n });
  expect(await studio.eventTypes(account)).toEqual(["video.queued", "video.in_progress", "video.completed"]);
  const video = await readVideo(studio.sql, account, id);
  expect(video).toMatchObject({
    usage: { charged: 250n, held: 0n },
    job: { state: "completed", progress: 100, runnerId: null },
  });
});

test("two runners that finish under the same lease at once make one completion", async () => {
  const { account, lease } = await aRunningJob();
  const outcomes = await Promise.all([finish(lease), finish(lease), finish(lease)]);
  expect(outcomes.filter((outcome) => outcome.ok)).toHaveLength(1);
  expect((await studio.purse(account)).consumed).toBe(250n);
});

test("a runner that lost its lease cannot report, checkpoint or finish", async () => {
  const { lease, id } = await aRunningJob();
  await checkpointAt(lease, 4);
  await recordEnd(studio.sql, lease, { kind: "lost", epoch: lease.epoch, how: "died", aboard: 1 });
  const { job, checkpoint } = await studio.dispatched(id, RunnerId.parse("runner-2"));
  expect(job.epoch).toBe(lease.epoch + 1);
  expect(checkpoint?.step).toBe(4);

  expect(await recordProgress(studio.sql, [{ lease, progress: 90, uploading: false }])).toEqual([]);
  expect(await checkpointAt(lease, 9)).toBe("stale");
  expect(await finish(lease)).toEqual({ ok: false, refusal: "stale" });
  expect(await renew(studio.sql, RUNNER, [lease])).toEqual({ renewed: [], stale: [lease] });
  expect(await studio.job(id)).toMatchObject({ state: "starting", stepsDone: 4, progress: 0 });
  expect((await finish({ job: id, epoch: job.epoch })).ok).toBe(true);
});

test("progress never falls, also over a retry, and only a completion makes it 100", async () => {
  const { lease, id } = await aRunningJob();
  await recordProgress(studio.sql, [{ lease, progress: 70, uploading: false }]);
  await recordProgress(studio.sql, [{ lease, progress: 30, uploading: false }]);
  await recordProgress(studio.sql, [{ lease, progress: 100, uploading: true }]);
  expect(await studio.job(id)).toMatchObject({ progress: 99, state: "uploading" });
  await recordEnd(studio.sql, lease, { kind: "lost", epoch: lease.epoch, how: "died", aboard: 1 });
  const { job } = await studio.dispatched(id);
  await recordProgress(studio.sql, [{ lease: { job: id, epoch: job.epoch }, progress: 5, uploading: false }]);
  expect((await studio.job(id)).progress).toBe(99);
});

test("a cancel in the queue is free, a cancel while running pays the steps that were kept", async () => {
  const account = await studio.account("pro", { amount: "100" });
  const waiting = await studio.submitted(account);
  await cancelVideo(studio.sql, account, waiting.id);
  expect(await studio.job(waiting.id)).toMatchObject({ state: "cancelled", errorCode: "cancelled" });
  expect(await studio.purse(account)).toEqual({ held: 0n, consumed: 0n });

  const { account: owner, lease, id } = await aRunningJob();
  await cancelVideo(studio.sql, owner, id);
  expect((await studio.job(id)).state).toBe("cancelling");
  await recordEnd(studio.sql, lease, { kind: "stopped", epoch: lease.epoch, why: "cancel", step: 4 });
  // 250 milli-credits for 10 steps; 4 were done.
  expect(await studio.purse(owner)).toEqual({ held: 0n, consumed: 100n });
  expect(await cancelVideo(studio.sql, owner, id)).toMatchObject({ job: { state: "cancelled" } });
  expect(await studio.eventTypes(owner)).toEqual(["video.queued", "video.in_progress", "video.cancelled"]);
});

test("a failure is never charged, and an engine that keeps failing ends the job after two resumes", async () => {
  const { account, lease, id } = await aRunningJob();
  const error = { class: "engine_fatal", code: "exited", detail: "" } as const;
  let epoch = lease.epoch;
  for (let resume = 0; resume < 2; resume++) {
    await recordEnd(studio.sql, { job: id, epoch }, { kind: "run_failed", epoch, error });
    expect((await studio.job(id)).state).toBe("retrying");
    epoch = (await studio.dispatched(id)).job.epoch;
  }
  await recordEnd(studio.sql, { job: id, epoch }, { kind: "run_failed", epoch, error });
  expect(await studio.job(id)).toMatchObject({ state: "failed", errorCode: "engine_failed", errorFault: "platform" });
  expect(await studio.purse(account)).toEqual({ held: 0n, consumed: 0n });
});

test("a checkpoint that a runner cannot use is given up for an older one, and at last for the start", async () => {
  const { lease, id } = await aRunningJob();
  await checkpointAt(lease, 3);
  await checkpointAt(lease, 6);
  const error = { class: "engine_fatal", code: "bad_checkpoint", detail: "" } as const;
  let epoch = lease.epoch;
  const resumedFrom: (number | undefined)[] = [];
  for (const _ of [1, 2]) {
    await recordEnd(studio.sql, { job: id, epoch }, { kind: "run_failed", epoch, error });
    const { job, checkpoint } = await studio.dispatched(id);
    resumedFrom.push(checkpoint?.step);
    epoch = job.epoch;
  }
  expect(resumedFrom).toEqual([3, undefined]);
  expect((await studio.job(id)).stepsDone).toBe(0);
});

test("a job that killed three runners is given up", async () => {
  const { lease, id } = await aRunningJob();
  let epoch = lease.epoch;
  for (let death = 1; death <= 3; death++) {
    await recordEnd(studio.sql, { job: id, epoch }, { kind: "lost", epoch, how: "died", aboard: 1 });
    if (death < 3) epoch = (await studio.dispatched(id)).job.epoch;
  }
  expect(await studio.job(id)).toMatchObject({ state: "failed", errorCode: "runner_crashed" });
});

test("a lease that ran out gives the job back; the deadline ends it", async () => {
  const { id } = await aRunningJob();
  await studio.sql`update job set lease_expires_at = now() - interval '1 second' where id = ${id}`;
  expect((await sweepLeases(studio.sql, await studio.leaderEpoch(), 0)).lost).toContain(id);
  expect((await studio.job(id)).state).toBe("retrying");
  await studio.sql`update job set deadline_at = now() - interval '1 second' where id = ${id}`;
  await sweepOld(studio.sql, await studio.leaderEpoch());
  expect(await studio.job(id)).toMatchObject({ state: "failed", errorCode: "deadline_exceeded" });
});

test("another account's video is not there: reading, cancelling and deleting it all say so", async () => {
  const { id } = await aRunningJob();
  const stranger = await studio.account("pro");
  expect(await readVideo(studio.sql, stranger, id)).toBeNull();
  expect(await cancelVideo(studio.sql, stranger, id)).toBeNull();
  expect(await deleteVideo(studio.sql, stranger, id)).toBeNull();
  expect((await studio.job(id)).state).toBe("starting");
});

test("a dispatch of a replica that leads no more changes nothing", async () => {
  const account = await studio.account("pro", { amount: "100" });
  const job = await studio.submitted(account);
  const batch = [{ job: job.id, runner: RUNNER, devices: [DeviceId.parse("cpu-0")], slot: null, slots: 1 }];
  await expect(dispatch(studio.sql, 999, batch, NO_CLOCK)).rejects.toThrow(NotLeaderError);
  expect((await studio.job(job.id)).state).toBe("queued");
});

test("an endpoint gets the deliveries it asked for; one that only knows failures hears of a cancel as that", async () => {
  const { account, lease, id } = await aRunningJob();
  const endpoint = { account, url: "https://example.com/hook", secret: "whsec_AAAA" } as const;
  await insertEndpoint(studio.database.orm, { ...endpoint, events: ["video.failed"] });
  await insertEndpoint(studio.database.orm, { ...endpoint, events: ["video.cancelled", "video.failed"] });
  await insertEndpoint(studio.database.orm, { ...endpoint, events: ["video.completed"] });
  await cancelVideo(studio.sql, account, id);
  await recordEnd(studio.sql, lease, { kind: "stopped", epoch: lease.epoch, why: "cancel", step: 0 });
  const rows = await studio.sql<{ body: string }[]>`
    select body from webhook_delivery d join webhook_endpoint e on e.id = d.endpoint_id where e.account_id = ${account}`;
  const types = rows.map((row) => (JSON.parse(row.body) as { type: string }).type);
  expect(types.toSorted()).toEqual(["video.cancelled", "video.failed"]);
});
