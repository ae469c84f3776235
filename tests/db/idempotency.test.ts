/** What an `Idempotency-Key` stands for, in PostgreSQL: the edge may forget everything, and a key still makes one video. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { forgetKeys, jobOfKey } from "#control-plane/db/idempotency.ts";
import type { Submitted } from "#control-plane/usecase/submit-job.ts";
import type { AccountId } from "#protocol/id.ts";
import { aCreateKey, sha256, Studio, TINY } from "#tests/support/studio.ts";

const KEY = sha256("1");
const OTHER_KEY = sha256("2");
const FOX = sha256("f");
const BEAR = sha256("b");

let studio: Studio;
beforeAll(async () => {
  studio = await Studio.open();
});
afterAll(() => studio.close());

/** As from an edge that remembers nothing: under a new create key each time. */
function submit(account: AccountId, key: typeof KEY, fingerprint: typeof FOX): Promise<Submitted> {
  return studio.submit(account, TINY, aCreateKey(), { key_sha256: key, fingerprint });
}

function jobsOf(account: AccountId): Promise<readonly unknown[]> {
  return studio.sql`select 1 from job where account_id = ${account}`;
}

async function ages(account: AccountId, by: string): Promise<void> {
  await studio.sql`update idempotency_key set created_at = created_at - ${by}::interval where account_id = ${account}`;
}

test("the same key and request make one video, whatever edge they come through, one after the other or at once", async () => {
  const account = await studio.account("pro", { amount: "100" });
  const first = await submit(account, KEY, FOX);
  expect(first).toMatchObject({ ok: true, repeated: false });
  expect(await submit(account, KEY, FOX)).toMatchObject({ ok: true, repeated: true, job: { id: jobIdOf(first) } });
  const atOnce = await Promise.all(Array.from({ length: 12 }, () => submit(account, OTHER_KEY, FOX)));
  expect(new Set(atOnce.map(jobIdOf)).size).toBe(1);
  expect(atOnce.filter((outcome) => outcome.ok && !outcome.repeated)).toHaveLength(1);
  expect(await jobsOf(account)).toHaveLength(2);
  expect(await studio.purse(account)).toMatchObject({ held: 500n });
});

test("a key that was used for another request is refused, and holds nothing", async () => {
  const account = await studio.account("pro", { amount: "100" });
  await submit(account, KEY, FOX);
  expect(await submit(account, KEY, BEAR)).toMatchObject({ ok: false, refusal: { code: "idempotency_key_reuse" } });
  expect(await jobsOf(account)).toHaveLength(1);
  expect(await studio.purse(account)).toMatchObject({ held: 250n });
});

test("a key is the account's own", async () => {
  const [one, other] = [await studio.account("pro", { amount: "9" }), await studio.account("pro", { amount: "9" })];
  const ids = [await submit(one, KEY, FOX), await submit(other, KEY, BEAR)].map(jobIdOf);
  expect(new Set(ids).size).toBe(2);
});

test("only a create that was accepted claims its key", async () => {
  const account = await studio.account("pro", { amount: "0.1" });
  expect(await submit(account, KEY, FOX)).toMatchObject({ ok: false, refusal: { code: "insufficient_credits" } });
  expect(await jobOfKey(studio.sql, account, KEY)).toBeNull();
  await studio.sql`update credit_grant set amount = 10000 where account_id = ${account}`;
  expect(await submit(account, KEY, BEAR)).toMatchObject({ ok: true, repeated: false });
});

test("a key is free again after a day, swept or not, and then stands for what it is given next", async () => {
  const account = await studio.account("pro", { amount: "100" });
  const first = await submit(account, KEY, FOX);
  await ages(account, "23 hours 59 minutes");
  expect(jobIdOf(await submit(account, KEY, FOX))).toBe(jobIdOf(first));
  await ages(account, "1 minute");
  const second = await submit(account, KEY, BEAR);
  expect(second).toMatchObject({ ok: true, repeated: false });
  expect(await submit(account, KEY, BEAR)).toMatchObject({ repeated: true, job: { id: jobIdOf(second) } });
});

test("old keys are removed in bounded batches, young ones stay", async () => {
  await studio.sql`delete from idempotency_key`;
  const account = await studio.account("pro", { amount: "100" });
  for (const digit of "abcde") await submit(account, sha256(digit), FOX);
  await ages(account, "1 day");
  await submit(account, sha256("0"), FOX);
  expect([await forgetKeys(studio.sql, 3), await forgetKeys(studio.sql, 3), await forgetKeys(studio.sql, 3)]).toEqual([
    3, 2, 0,
  ]);
  expect(await studio.sql`select key_sha256 from idempotency_key`).toEqual([{ keySha256: sha256("0") }]);
});

test("a create key that is sent again is answered by its video also under an idempotency key", async () => {
  const account = await studio.account("pro", { amount: "100" });
  const createKey = aCreateKey();
  const again = () => studio.submit(account, TINY, createKey, { key_sha256: KEY, fingerprint: FOX });
  const ids = [await again(), await again()].map(jobIdOf);
  expect(new Set(ids).size).toBe(1);
});

function jobIdOf(outcome: Submitted): string {
  if (!outcome.ok) throw new Error(outcome.refusal.message);
  return outcome.job.id;
}
