import { afterEach, beforeEach, expect, test } from "vitest";
import type { AccountId } from "#protocol/id.ts";
import { Leader } from "#tests/support/leader.ts";
import { Studio, TINY } from "#tests/support/studio.ts";

let studio: Studio;
let leader: Leader;
beforeEach(async () => {
  studio = await Studio.open();
  leader = await Leader.begin(studio);
});
afterEach(async () => {
  await leader.stop();
  await studio.close();
});

const TIER = {
  weight: 10,
  max_running: 10,
  max_queued: 1_000,
  creates_per_minute: 600,
  creates_burst: 300,
  start_bound_s: 86_400,
} as const;
const CLASS = {
  resolution: "192p",
  seconds_max: 1,
  price: "0.75",
  shapes: [{ k: 1, vram_bytes: 1_000, wall_ms: 750 }],
} as const;
const LONG = { ...TINY, size: "1280x720", seconds: 60, steps: 100 } as const;

async function admin(method: string, path: string, body: unknown): Promise<void> {
  const answer = await leader.admin(method, path, body);
  expect(answer).toMatchObject({ status: 200 });
}

const submit = (account: AccountId, count: number) =>
  Promise.all(Array.from({ length: count }, () => studio.submitted(account)));

test("a tier's cap that is raised lets the next video start, one that is lowered holds it back", async () => {
  const account = await studio.account("pro", { amount: "100" });
  await admin("PUT", "/tiers/pro", { ...TIER, max_running: 1 });
  await leader.runner("a", 4);
  await submit(account, 4);
  await leader.dispatch(0);
  await admin("PUT", "/tiers/pro", { ...TIER, max_running: 3 });
  const [first, second] = [await leader.dispatch(1), await leader.dispatch(2)];
  await admin("PUT", "/tiers/pro", { ...TIER, max_running: 1 });
  await leader.finish(first);
  await leader.finish(second);
  // Devices are free and others start; this account still runs one, so it waits.
  const [other] = await submit(await studio.account("free", { amount: "100" }), 1);
  expect((await leader.dispatch(3)).job.id).toBe(other?.id);
  await leader.finish(await leader.dispatch(0));
  expect((await leader.dispatch(4)).job.accountId).toBe(account);
});

test("a tier's weight decides the turns from when it was changed", async () => {
  const [free, plus] = [
    await studio.account("free", { amount: "100" }),
    await studio.account("plus", { amount: "100" }),
  ];
  await submit(free, 18);
  await submit(plus, 18);
  const turnsOfPlus = (from: number, to: number) =>
    leader.sent.slice(from, to).filter(({ job }) => job.accountId === plus).length;
  await leader.runner("a", 1);
  for (let n = 0; n < 10; n++) await leader.finish(await leader.dispatch(n));
  expect(turnsOfPlus(0, 10)).toBeGreaterThanOrEqual(7);
  await admin("PUT", "/tiers/free", { ...TIER, weight: 9, max_running: 1 });
  await admin("PUT", "/tiers/plus", { ...TIER, weight: 1, max_running: 1 });
  for (let n = 10; n < 24; n++) await leader.finish(await leader.dispatch(n));
  expect(turnsOfPlus(11, 24)).toBeLessThanOrEqual(4);
});

test("an account that changes its tier has the other tier's cap at once", async () => {
  const account = await studio.account("free", { amount: "100" });
  await leader.runner("a", 4);
  await submit(account, 3);
  await leader.dispatch(0);
  await admin("PATCH", `/accounts/${account}`, { tier: "plus" });
  await leader.dispatch(2);
  expect(leader.sent).toHaveLength(3);
});

test("a class has its new price for the next video, and its new shape for the next dispatch: a gang of two", async () => {
  const account = await studio.account("pro", { amount: "100" });
  const [before] = await submit(account, 1);
  const shapes = [{ k: 2, vram_bytes: 1_000, wall_ms: 400 }];
  await admin("PUT", "/models/reference/classes/192p/1s", { ...CLASS, price: "6", shapes });
  const [after] = await submit(account, 1);
  expect([before?.price, after?.price]).toEqual([250n, 2_000n]);
  await leader.runner("single", 1);
  await leader.runner("double", 2);
  const first = await leader.dispatch(0);
  // A gang holds both devices: the second waits for the first.
  expect(first.job).toMatchObject({ runnerId: "double", devices: ["double:0", "double:1"] });
  await leader.finish(first, { denoise: 400 });
  const second = await leader.dispatch(1);
  expect(second.job.devices).toEqual(["double:0", "double:1"]);
  const [attempt] = await studio.sql`select build, gpu, k from attempt where job_id = ${first.job.id}`;
  expect(attempt).toEqual({ build: "toy 1", gpu: "toy-gpu", k: 2 });
});

test("a retired class takes no new videos, and those that it has run", async () => {
  const account = await studio.account("pro", { amount: "100" });
  const [waiting] = await submit(account, 1);
  await admin("DELETE", "/models/reference/classes/192p%2F1s", undefined);
  // The next longer class of the resolution takes its place, at its own price.
  const [next] = await submit(account, 1);
  expect(next).toMatchObject({ class: "192p/4s", price: 1_000n });
  await leader.stop();
  leader = await Leader.begin(studio);
  await leader.runner("a", 1);
  expect((await leader.dispatch(0)).job.id).toBe(waiting?.id);
});

test("a drained runner gets nothing new, whatever restarts, until it is taken back", async () => {
  const account = await studio.account("pro", { amount: "100" });
  await leader.runner("a", 1);
  await leader.runner("b", 1);
  await admin("PATCH", "/runners/a", { drained: true });
  await submit(account, 2);
  const first = await leader.dispatch(0);
  expect(first.job.runnerId).toBe("b");
  await leader.finish(first);
  expect((await leader.dispatch(1)).job.runnerId).toBe("b");

  expect((await leader.admin("GET", "/runners")).body).toMatchObject({
    data: [
      { id: "a", drained: true },
      { id: "b", drained: false },
    ],
  });
  await leader.stop();
  leader = await Leader.begin(studio);
  await leader.runner("a", 1);
  await submit(account, 1);
  await leader.runner("c", 1);
  expect((await leader.dispatch(0)).job.runnerId).toBe("c");
  await submit(account, 1);
  await admin("PATCH", "/runners/a", { drained: false });
  expect((await leader.dispatch(1)).job.runnerId).toBe("a");
});

test("a change that nobody hinted at, made in the database by hand, holds five seconds later", async () => {
  const account = await studio.account("pro", { amount: "100" });
  await studio.sql`update tier set max_running = 0`;
  await studio.sql`insert into tier (name, weight, max_running, max_queued, creates_per_minute, creates_burst, start_bound_s)
    values ('crew', 5, 1, 10, 10, 10, 60)`;
  leader.nowMs += 5_000;
  await leader.runner("a", 2);
  await submit(account, 1);
  // The account's tier is one that the leader was never told of.
  const crew = await studio.account("crew", { amount: "100" });
  const [first] = await submit(crew, 1);
  expect((await leader.dispatch(0)).job.id).toBe(first?.id);
  await studio.sql`update tier set max_running = 1 where name = 'pro'`;
  leader.nowMs += 5_000;
  expect((await leader.dispatch(1)).job.accountId).toBe(account);
});

test("a threshold that the operator lowers makes the leader preempt, without a restart", async () => {
  const [free, pro] = [
    await studio.account("free", { amount: "100000" }),
    await studio.account("pro", { amount: "100" }),
  ];
  await leader.runner("a", 1);
  const long = await studio.submitted(free, LONG);
  const victim = await leader.dispatch(0);
  await submit(pro, 1);
  leader.nowMs += 10_000;
  await admin("PATCH", "/scheduler/limits", { preempt_after_ms: 0, victim_ran_min_ms: 0 });
  await leader.until(() => leader.stops.length > 0);
  expect(leader.stops[0]).toEqual({ job: long.id, epoch: victim.job.epoch });
});

test("what the old leader learnt of run times, the new one knows", async () => {
  const account = await studio.account("pro", { amount: "100000" });
  await leader.runner("a", 1);
  await submit(account, 12);
  // Declared: 10 of 30 steps of 525 ms, so 175 ms. Each takes four times as long.
  for (let n = 0; n < 12; n++) await leader.finish(await leader.dispatch(n), { encode: 75, denoise: 700, decode: 150 });
  const rows = await studio.sql`
    select stage, count(*)::int as count, min(predicted_ms) as predicted, max(actual_ms) as actual
    from attempt_stage group by stage order by stage`;
  expect(rows).toEqual([
    { stage: "encode", count: 12, predicted: 75, actual: 75 },
    { stage: "denoise", count: 12, predicted: 175, actual: 700 },
    { stage: "decode", count: 12, predicted: 150, actual: 150 },
  ]);
  const [running, waiting] = [await studio.submitted(account, LONG), await studio.submitted(account, LONG)];
  expect((await leader.dispatch(12)).job.id).toBe(running.id);
  const runS = async () => {
    const { eta } = await leader.explained(waiting.id);
    return eta === null ? 0 : eta.finish_p50 - eta.start_p50;
  };
  const learnt = await runS();
  // Declared: 31.5 s of encode, 63 s of decode, and 7.35 s for each of 100 steps.
  expect(learnt).toBeGreaterThan(3.5 * 829.5);
  await leader.stop();
  leader = await Leader.begin(studio);
  await leader.runner("a", 1);
  // Both ends of the quote are rounded up to seconds.
  expect(Math.abs((await runS()) - learnt)).toBeLessThanOrEqual(1);
  // Another build of the engine is another pace.
  leader.loop.runnerDown("a");
  await leader.runner("b", 1, "toy 2");
  expect(Math.abs((await runS()) - 829.5)).toBeLessThanOrEqual(1);
});
