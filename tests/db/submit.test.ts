import { afterAll, beforeAll, expect, test } from "vitest";
import { aCreateKey, Studio, TINY } from "#tests/support/studio.ts";

let studio: Studio;
beforeAll(async () => {
  studio = await Studio.open();
});
afterAll(() => studio.close());

test("a submit prices the video, holds exactly that, and writes the first event", async () => {
  const account = await studio.account("pro", { amount: "10" });
  const job = await studio.submitted(account);
  // 750 milli-credits at 30 steps; 10 steps cost a third.
  expect(job.price).toBe(250n);
  expect(job.class).toBe("192p/1s");
  expect(await studio.purse(account)).toEqual({ held: 250n, consumed: 0n });
  expect(await studio.eventTypes(account)).toEqual(["video.queued"]);
});

test("an account that cannot pay gets both numbers and nothing is stored", async () => {
  const account = await studio.account("pro", { amount: "0.249" });
  const outcome = await studio.submit(account);
  expect(outcome).toMatchObject({
    ok: false,
    refusal: { code: "insufficient_credits", numbers: { required: "0.25", available: "0.249" } },
  });
  expect(await studio.sql`select 1 from job where account_id = ${account}`).toHaveLength(0);
  expect(await studio.eventTypes(account)).toEqual([]);
});

test("a hold is split over grants in burn order: priority first, then the earlier expiry", async () => {
  const soon = new Date(Date.now() + 60_000).toISOString();
  const later = new Date(Date.now() + 600_000).toISOString();
  const account = await studio.account(
    "pro",
    { amount: "5" },
    { amount: "0.1", expires_at: later },
    { amount: "0.1", expires_at: soon },
    { amount: "0.02", priority: 10 },
  );
  const job = await studio.submitted(account);
  const lots = await studio.sql<{ amount: bigint; total: bigint }[]>`
    select lot.amount, grant_row.amount as total from credit_hold_lot lot
    join credit_grant grant_row on grant_row.id = lot.grant_id where lot.job_id = ${job.id} order by lot.rank`;
  expect(lots.map((lot) => lot.amount)).toEqual([20n, 100n, 100n, 30n]);
  expect(lots.at(-1)?.total).toBe(5_000n);
});

test("an expired grant and one that is not effective yet cannot be held", async () => {
  const [before, yesterday, tomorrow] = [-2, -1, 1].map((days) =>
    new Date(Date.now() + days * 86_400_000).toISOString(),
  );
  const account = await studio.account(
    "pro",
    { amount: "5", effective_at: before, expires_at: yesterday },
    { amount: "5", effective_at: tomorrow },
  );
  expect(await studio.submit(account)).toMatchObject({ ok: false, refusal: { code: "insufficient_credits" } });
});

test("twenty submits at once never hold more than the account has", async () => {
  const account = await studio.account("pro", { amount: "1" }, { amount: "0.6" });
  const outcomes = await Promise.all(Array.from({ length: 20 }, () => studio.submit(account)));
  expect(outcomes.filter((outcome) => outcome.ok)).toHaveLength(6);
  expect(await studio.purse(account)).toEqual({ held: 1_500n, consumed: 0n });
});

test("the queue cap is exact, also when everybody submits at once", async () => {
  const account = await studio.account("free", { amount: "1000" });
  const outcomes = await Promise.all(Array.from({ length: 30 }, () => studio.submit(account)));
  expect(outcomes.filter((outcome) => outcome.ok)).toHaveLength(20);
  const refused = outcomes.find((outcome) => !outcome.ok);
  expect(refused).toMatchObject({ refusal: { code: "queue_full", numbers: { queued: 20, limit: 20 } } });
});

test("the same create key answers with the same video, however often and however fast it comes", async () => {
  const account = await studio.account("pro", { amount: "10" });
  const key = aCreateKey();
  const outcomes = await Promise.all(Array.from({ length: 8 }, () => studio.submit(account, TINY, key)));
  const ids = new Set(outcomes.map((outcome) => (outcome.ok ? outcome.job.id : "refused")));
  expect(ids.size).toBe(1);
  expect(outcomes.filter((outcome) => outcome.ok && !outcome.repeated)).toHaveLength(1);
  expect((await studio.purse(account)).held).toBe(250n);
});

test.each([
  [{ prompt: "x", model: "sora-9" }, "unknown_model", "model"],
  [{ prompt: "x", size: "333x333" }, "unsupported_size", "size"],
  [{ prompt: "x", seconds: 61 }, "invalid_value", "seconds"],
  [{ prompt: "x", steps: 101 }, "invalid_value", "steps"],
])("what the model does not do is refused with the parameter's name: %j", async (request, code, param) => {
  const account = await studio.account("pro", { amount: "1000" });
  expect(await studio.submit(account, request)).toMatchObject({ ok: false, refusal: { code, param } });
  expect((await studio.purse(account)).held).toBe(0n);
});

test("resolution and aspect ratio stand for a size", async () => {
  const account = await studio.account("pro", { amount: "1000" });
  const job = await studio.submitted(account, { prompt: "x", resolution: "480p", aspect_ratio: "9:16", seconds: "2" });
  expect(job).toMatchObject({ size: "480x832", seconds: 2, class: "480p/4s", steps: 30 });
});
