import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { overload, QUEUED_JOBS_MAX } from "#control-plane/core/admission.ts";
import { PRODUCTION_LIMITS } from "#control-plane/core/scheduler/limits.ts";
import type { Outlook } from "#control-plane/core/scheduler/quotes.ts";
import { NotLeaderError, resignLeadership, takeLeadership } from "#control-plane/db/leader.ts";
import { AdmissionOutlook, publishOutlooks } from "#control-plane/usecase/admission-outlook.ts";
import { changeLimits } from "#control-plane/usecase/set-terms.ts";
import { invariant } from "#protocol/invariant.ts";
import { BY_TEST } from "#tests/support/by-test.ts";
import { Studio } from "#tests/support/studio.ts";

const CLASS = "reference|192p/1s";
const FREE_BOUND_S = 7_200;

let studio: Studio;
let epoch = 0;
beforeAll(async () => {
  studio = await Studio.open();
});
afterAll(() => studio.close());
beforeEach(async () => {
  await studio.sql`delete from admission_summary`;
  await resignLeadership(studio.sql, epoch);
  const taken = await takeLeadership(studio.sql, "test", null, 60_000);
  invariant(taken !== null, "nobody else leads this test's database");
  epoch = taken;
});

function publish(startS: number | null, more: Partial<Outlook> = {}): Promise<void> {
  const start = startS === null ? null : { p50Ms: startS * 1_000, p90Ms: startS * 1_500 };
  const outlook = { tier: "free", class: CLASS, queued: 3, backlogMs: 9_000, start, ...more };
  return publishOutlooks(studio.sql, epoch, [outlook]);
}

test("a video that would start after its tier's bound is refused with both numbers, and nothing is held or stored", async () => {
  const account = await studio.account("free", { amount: "10" });
  await publish(FREE_BOUND_S + 1);
  expect(await studio.submit(account)).toMatchObject({
    ok: false,
    refusal: {
      code: "queue_full",
      message: expect.stringContaining("7201 s") as string,
      numbers: { predicted_start_seconds: FREE_BOUND_S + 1, start_bound_seconds: FREE_BOUND_S },
      retryAfterSeconds: expect.toSatisfy((seconds: number) => seconds >= 30 && seconds <= 60) as number,
    },
  });
  expect(await studio.sql`select 1 from job where account_id = ${account}`).toHaveLength(0);
  expect(await studio.purse(account)).toEqual({ held: 0n, consumed: 0n });
  expect(await studio.eventTypes(account)).toEqual([]);
});

test("a video that would start in time is admitted, and so is one of another tier or class", async () => {
  const [free, pro] = [await studio.account("free", { amount: "10" }), await studio.account("pro", { amount: "10" })];
  await publish(FREE_BOUND_S);
  expect(await studio.submit(free)).toMatchObject({ ok: true });
  await publish(FREE_BOUND_S + 1);
  expect(await studio.submit(pro)).toMatchObject({ ok: true });
  const wider = { prompt: "x", size: "832x480", seconds: 1, steps: 1 };
  expect(await studio.submit(free, wider)).toMatchObject({ ok: true });
});

test("the account's own queue is looked at before its start, and its credits before both", async () => {
  const [rich, poor] = [
    await studio.account("free", { amount: "1000" }),
    await studio.account("free", { amount: "0.001" }),
  ];
  for (let n = 0; n < 20; n++) await studio.submitted(rich);
  await publish(FREE_BOUND_S + 1);
  expect(await studio.submit(rich)).toMatchObject({
    refusal: { code: "queue_full", numbers: { queued: 20, limit: 20 } },
  });
  expect(await studio.submit(poor)).toMatchObject({ refusal: { code: "insufficient_credits" } });
});

test("when too many videos wait in all, nobody's is taken", async () => {
  const account = await studio.account("pro", { amount: "10" });
  await publish(0, { queued: QUEUED_JOBS_MAX });
  expect(await studio.submit(account)).toMatchObject({ ok: false, refusal: { numbers: { limit: QUEUED_JOBS_MAX } } });
});

test("more GPU time than the operator lets wait refuses everybody, with both numbers, until it is raised", async () => {
  const account = await studio.account("pro", { amount: "10" });
  await publish(0, { backlogMs: 9_000_500 });
  expect(await studio.submit(account)).toMatchObject({ ok: true });
  await changeLimits(studio.database, BY_TEST, PRODUCTION_LIMITS, { queued_gpu_seconds_max: 9_001 });
  expect(await studio.submit(account)).toMatchObject({
    refusal: { code: "queue_full", numbers: { queued_gpu_seconds: 9_001, limit: 9_001 } },
  });
  await changeLimits(studio.database, BY_TEST, PRODUCTION_LIMITS, { queued_gpu_seconds_max: 9_002 });
  expect(await studio.submit(account)).toMatchObject({ ok: true });
});

test("who is refused is told to come again between half and all of the time until a start, spread evenly", () => {
  const quota = { tier: "free", queued: 1, queuedMax: 1, startBoundS: 7_200 };
  const againS = (predictedStartS: number | null, chance: number) => {
    const load = { queued: 0, queuedGpuS: 0, queuedGpuSMax: 1, predictedStartS, predictedStartP90S: null };
    return overload(quota, load, chance)?.retryAfterSeconds;
  };
  expect([0, 0.5, 0.999].map((chance) => againS(40, chance))).toEqual([20, 30, 40]);
  expect([0, 0.999].map((chance) => againS(100_000, chance))).toEqual([30, 60]);
  expect([0, 0.999].map((chance) => againS(null, chance))).toEqual([30, 60]);
  expect([0, 0.999].map((chance) => againS(0, chance))).toEqual([1, 2]);
});

test("where no runner could run it, the start is unknown and refuses nobody", async () => {
  const account = await studio.account("free", { amount: "10" });
  await publish(null);
  expect(await studio.submit(account)).toMatchObject({ ok: true });
});

test("what the leader said more than ten seconds ago refuses nobody", async () => {
  const account = await studio.account("free", { amount: "10" });
  await publish(FREE_BOUND_S + 1);
  await studio.sql`update admission_summary set at = at - interval '10 s'`;
  expect(await studio.submit(account)).toMatchObject({ ok: true });
});

test("a replica reads at most once in two seconds, and forgets what grew old since", async () => {
  let nowMs = 1_000_000;
  const outlook = new AdmissionOutlook(studio.sql, () => nowMs);
  const startS = async () => (await outlook.read())("free", "reference", "192p/1s").predictedStartS;
  await publish(100);
  expect(await startS()).toBe(100);
  await publish(200);
  nowMs += 1_999;
  expect(await startS()).toBe(100);
  nowMs += 1;
  expect(await startS()).toBe(200);
});

test("a leader of the past tells nobody anything", async () => {
  const past = epoch;
  await resignLeadership(studio.sql, past);
  await takeLeadership(studio.sql, "other", null, 60_000);
  await expect(publishOutlooks(studio.sql, past, [])).rejects.toThrow(NotLeaderError);
  expect(await studio.sql`select 1 from admission_summary`).toHaveLength(0);
  epoch = past + 1;
});
