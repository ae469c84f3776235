import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { NotLeaderError } from "#control-plane/db/leader.ts";
import { quarantinedRunners } from "#control-plane/db/incidents.ts";
import { sweepLeases, sweepOld } from "#control-plane/usecase/lead.ts";
import { loseRunner } from "#control-plane/usecase/lose-runner.ts";
import { recordEnd } from "#control-plane/usecase/record-run.ts";
import { drainRunner } from "#control-plane/usecase/set-terms.ts";
import { registerRunner } from "#control-plane/usecase/lead.ts";
import { DeviceId, RunnerId } from "#protocol/id.ts";
import type { VideoId } from "#protocol/id.ts";
import { Studio } from "#tests/support/studio.ts";
import { BY_TEST } from "#tests/support/by-test.ts";

let studio: Studio;
beforeAll(async () => {
  studio = await Studio.open();
});
afterAll(() => studio.close());
beforeEach(async () => {
  await studio.sql`delete from runner_incident`;
});

const A = RunnerId.parse("runner-a");
const B = RunnerId.parse("runner-b");
let devices = 0;

async function aJobOn(runner: RunnerId, job?: VideoId) {
  const id = job ?? (await studio.submitted(await studio.account("pro", {}))).id;
  const { job: started } = await studio.dispatched(id, runner, DeviceId.parse(`gpu-${devices++}`));
  return { job: id, epoch: started.epoch };
}

async function lose(runner: RunnerId, ...leases: Awaited<ReturnType<typeof aJobOn>>[]) {
  return loseRunner(studio.sql, await studio.leaderEpoch(), runner, leases);
}

test("a runner that lost two disjoint sets of jobs is quarantined; one whose every loss holds the same job is not", async () => {
  const poison = await aJobOn(A);
  await lose(A, poison, await aJobOn(A));
  await lose(A, await aJobOn(A, poison.job), await aJobOn(A));
  expect(await quarantinedRunners(studio.sql)).toEqual([]);
  await lose(B, await aJobOn(B));
  await lose(B, await aJobOn(B));
  expect(await quarantinedRunners(studio.sql)).toEqual([B]);
});

test("a runner whose host fails two jobs is quarantined, one that fails the same job twice is not", async () => {
  const fail = async (lease: Awaited<ReturnType<typeof aJobOn>>) => {
    const error = { class: "host_fatal", code: "storage_full", detail: "" } as const;
    await recordEnd(studio.sql, lease, { kind: "run_failed", epoch: lease.epoch, error });
  };
  const first = await aJobOn(A);
  await fail(first);
  await fail(await aJobOn(A, first.job));
  expect(await quarantinedRunners(studio.sql)).toEqual([]);
  await fail(await aJobOn(A));
  expect(await quarantinedRunners(studio.sql)).toEqual([A]);
});

test("a quarantine ends by itself, or when the operator takes the runner back", async () => {
  for (const runner of [A, B]) {
    await lose(runner, await aJobOn(runner));
    await lose(runner, await aJobOn(runner));
  }
  await studio.sql`update runner_incident set at = at - interval '6 minutes' where runner_id = ${A}`;
  expect(await quarantinedRunners(studio.sql)).toEqual([B]);
  const caps = { checkpoint: "none", step_progress: false, cancel: "process" } as const;
  await registerRunner(studio.sql, { id: B, engine: "toy", build: "1", models: [], caps, devices: [] });
  await drainRunner(studio.database, BY_TEST, B, false);
  expect(await quarantinedRunners(studio.sql)).toEqual([]);
});

test("a replica that leads no more cannot take a job from its runner", async () => {
  const lease = await aJobOn(A);
  const past = (await studio.leaderEpoch()) - 1;
  await expect(loseRunner(studio.sql, past, A, [lease])).rejects.toThrow(NotLeaderError);
  await studio.sql`update job set lease_expires_at = now() - interval '1 second' where id = ${lease.job}`;
  await expect(sweepLeases(studio.sql, past, 0)).rejects.toThrow(NotLeaderError);
  expect(await studio.job(lease.job)).toMatchObject({ state: "starting", epoch: lease.epoch });
});

test("a video that nothing started within twice its tier's bound fails, its credits are given back", async () => {
  const account = await studio.account("free", {});
  const { id } = await studio.submitted(account);
  const bound = studio.sql`(select start_bound_s from tier where name = 'free')`;
  await studio.sql`update job set created_at = now() - 2 * make_interval(secs => ${bound}) + interval '1 minute' where id = ${id}`;
  expect(await sweepOld(studio.sql, await studio.leaderEpoch())).toEqual([]);
  await studio.sql`update job set created_at = created_at - interval '2 minutes' where id = ${id}`;
  expect(await sweepOld(studio.sql, await studio.leaderEpoch())).toEqual([id]);
  expect(await studio.job(id)).toMatchObject({
    state: "failed",
    errorCode: "start_deadline_exceeded",
    errorMessage: "The video was not started before its deadline.",
  });
  const [hold] =
    await studio.sql`select state, captured, released = amount as all from credit_hold where job_id = ${id}`;
  expect(hold).toMatchObject({ captured: 0n, all: true });
});
