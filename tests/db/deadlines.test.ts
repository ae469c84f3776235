/** Deadlines that a create asks for. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { sweepOld } from "#control-plane/usecase/lead.ts";
import { recordEnd } from "#control-plane/usecase/record-run.ts";
import { dispatch } from "#control-plane/usecase/dispatch.ts";
import { DeviceId } from "#protocol/id.ts";
import type { VideoId } from "#protocol/id.ts";
import { NO_CLOCK, RUNNER, Studio, TINY } from "#tests/support/studio.ts";

let studio: Studio;
beforeAll(async () => {
  studio = await Studio.open();
});
afterAll(() => studio.close());

async function submitted(asked: object) {
  const account = await studio.account("pro", { amount: "100" });
  return studio.submitted(account, { ...TINY, ...asked });
}

/** Makes the moments of a job's life as old as if so many seconds had gone by. */
function age(id: VideoId, seconds: number) {
  const by = studio.sql`make_interval(secs => ${seconds})`;
  return studio.sql`
    update job set created_at = created_at - ${by}, deadline_at = deadline_at - ${by}, start_deadline_at = start_deadline_at - ${by}
    where id = ${id}`;
}

const sweep = async () => sweepOld(studio.sql, await studio.leaderEpoch());

test("a video is given the deadlines that were asked for, counted from its creation; without any it has a day", async () => {
  const asked = await submitted({ start_deadline_seconds: 60, deadline_seconds: "90" });
  const at = asked.createdAt.getTime();
  expect([asked.startDeadlineAt?.getTime(), asked.deadlineAt.getTime()]).toEqual([at + 60_000, at + 90_000]);
  const plain = await submitted({});
  expect([plain.startDeadlineAt, plain.deadlineAt.getTime() - plain.createdAt.getTime()]).toEqual([null, 86_400_000]);
});

test("past the start that was asked for no dispatch starts it, and the sweep fails it by the account's own fault", async () => {
  const { id } = await submitted({ start_deadline_seconds: 60 });
  await age(id, 59);
  expect(await sweep()).toEqual([]);
  await age(id, 2);
  const placement = { job: id, runner: RUNNER, devices: [DeviceId.parse("cpu-late")], slot: null, slots: 1 };
  const outcome = await dispatch(studio.sql, await studio.leaderEpoch(), [placement], NO_CLOCK);
  expect(outcome).toEqual({ dispatched: [], refused: [], held: [id] });
  expect(await sweep()).toEqual([id]);
  expect(await studio.job(id)).toMatchObject({
    state: "failed",
    errorCode: "start_deadline_exceeded",
    errorFault: "user",
  });
  const [hold] = await studio.sql`select captured, released = amount as all from credit_hold where job_id = ${id}`;
  expect(hold).toMatchObject({ captured: 0n, all: true });
});

test("a video that was started in time may be started again after its start deadline", async () => {
  const { id } = await submitted({ start_deadline_seconds: 60 });
  const { job } = await studio.dispatched(id);
  const lost = { kind: "lost", epoch: job.epoch, how: "not_taken" } as const;
  await recordEnd(studio.sql, { job: id, epoch: job.epoch }, lost);
  await age(id, 61);
  expect(await sweep()).toEqual([]);
  expect((await studio.dispatched(id)).job.epoch).toBe(job.epoch + 1);
});

test("past the end that was asked for a running video fails by the account's own fault, past ours by ours", async () => {
  const [asked, plain] = [await submitted({ deadline_seconds: 60 }), await submitted({})];
  for (const { id } of [asked, plain]) await studio.dispatched(id);
  await age(asked.id, 61);
  await age(plain.id, 86_401);
  expect((await sweep()).toSorted()).toEqual([asked.id, plain.id].toSorted());
  const failed = { state: "failed", errorCode: "deadline_exceeded" };
  expect(await studio.job(asked.id)).toMatchObject({ ...failed, errorFault: "user" });
  expect(await studio.job(plain.id)).toMatchObject({ ...failed, errorFault: "platform" });
});
