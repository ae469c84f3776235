import { afterAll, beforeAll, expect, test } from "vitest";
import { checkKey } from "#control-plane/usecase/read-account.ts";
import { createKey, endKey, listKeys } from "#control-plane/usecase/administer.ts";
import { hashOfKey, KEY_SECRET_CHARS } from "#protocol/api-key.ts";
import type { AccountId } from "#protocol/id.ts";
import { randomBytes } from "node:crypto";
import { BY_TEST } from "#tests/support/by-test.ts";
import { callAdmin } from "#tests/support/leader.ts";
import { Studio } from "#tests/support/studio.ts";

let studio: Studio;
beforeAll(async () => {
  studio = await Studio.open();
});
afterAll(() => studio.close());

async function aKey(account: AccountId) {
  const made = await createKey(studio.database, BY_TEST, account, "test", (count) => randomBytes(count));
  if (!made.ok || made.value.api_key === undefined) throw new Error("no key");
  return { id: made.value.id, key: made.value.api_key, hash: await hashOfKey(made.value.api_key) };
}

async function listed(account: AccountId) {
  const keys = await listKeys(studio.database, account);
  if (!keys.ok) throw new Error(keys.refusal.message);
  return keys.value.data;
}

test("a key has 178 random bits, is shown once, and its hash alone is kept", async () => {
  expect(KEY_SECRET_CHARS * Math.log2(62)).toBeGreaterThan(178);
  const account = await studio.account("pro");
  const { id, key, hash } = await aKey(account);
  const dump = JSON.stringify([
    await studio.sql`select * from api_key`,
    await studio.sql`select record from admin_audit`,
  ]);
  expect(dump).toContain(hash);
  expect(dump).not.toContain(key.slice(24, 54));
  expect(await listed(account)).toMatchObject([{ id, last4: key.slice(-4), last_used_at: null, revoked_at: null }]);
  expect(JSON.stringify(await callAdmin(studio, "GET", `/accounts/${account}/keys`))).not.toContain(key.slice(24, 54));
});

test("a key is replaced without one failed call: both are good until the old one is revoked, which ends that one only", async () => {
  const account = await studio.account("pro");
  const [old, fresh] = [await aKey(account), await aKey(account)];
  const good = async ({ hash }: { hash: typeof old.hash }) => (await checkKey(studio.sql, account, hash)) !== null;
  expect([await good(old), await good(fresh)]).toEqual([true, true]);
  expect(await endKey(studio.database, BY_TEST, old.id)).toMatchObject({ ok: true });
  expect([await good(old), await good(fresh)]).toEqual([false, true]);
  expect(await endKey(studio.database, BY_TEST, old.id)).toMatchObject({ ok: false });
  expect((await listed(account)).map(({ id, revoked_at }) => [id, revoked_at !== null])).toEqual([
    [fresh.id, false],
    [old.id, true],
  ]);
});

test("a key of one account is none of another's", async () => {
  const [mine, other] = [await studio.account("pro"), await studio.account("pro")];
  const { hash } = await aKey(mine);
  expect(await checkKey(studio.sql, other, hash)).toBeNull();
});

test("when a key was used last is written once a minute at most", async () => {
  const account = await studio.account("pro");
  const { id, hash } = await aKey(account);
  const writes = async () => {
    const [row] = await studio.sql<{ xmin: string; at: Date | null }[]>`
      select xmin::text, last_used_at as at from api_key where id = ${id}`;
    return row;
  };
  await checkKey(studio.sql, account, hash);
  const first = await writes();
  expect(first?.at).not.toBeNull();
  await Promise.all([1, 2, 3].map(() => checkKey(studio.sql, account, hash)));
  expect(await writes()).toEqual(first);
  await studio.sql`update api_key set last_used_at = now() - interval '61 seconds' where id = ${id}`;
  await checkKey(studio.sql, account, hash);
  expect((await writes())?.at?.getTime()).toBeGreaterThan((first?.at?.getTime() ?? 0) - 1);
});

test("keys of an account that is not there are not found", async () => {
  expect((await callAdmin(studio, "GET", "/accounts/acct_zzzzzzzzzzzzzzzz/keys")).status).toBe(404);
  expect((await callAdmin(studio, "GET", "/accounts/nobody/keys")).status).toBe(404);
});
