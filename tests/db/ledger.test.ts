/** The rules of the ledger: what holds pin, what expiry takes, who pays in the end, what the operator may do. */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { balanceOf, exportJournal, grantsOf, holdUsageOf, transactionsOf } from "#control-plane/db/ledger-read.ts";
import { NotLeaderError } from "#control-plane/db/leader.ts";
import { auditLedger } from "#control-plane/usecase/audit-ledger.ts";
import { cancelVideo } from "#control-plane/usecase/change-video.ts";
import { adjust, grantCredits, refundVideo, voidGrant } from "#control-plane/usecase/credits.ts";
import { expireGrants } from "#control-plane/usecase/expire-grants.ts";
import { moveJob } from "#control-plane/usecase/move-job.ts";
import { recordEnd } from "#control-plane/usecase/record-run.ts";
import type { AccountId, VideoId } from "#protocol/id.ts";
import { milliCredits } from "#protocol/unit.ts";
import { anArtifact, Studio } from "#tests/support/studio.ts";
import { BY_TEST } from "#tests/support/by-test.ts";

/** What `TINY` costs, in milli-credits. */
const PRICE = 250n;
/** Long enough for a submit on a busy machine. */
const SOON_MS = 500;

let studio: Studio;
beforeAll(async () => {
  studio = await Studio.open();
});
afterAll(() => studio.close());
afterEach(async () => {
  const { breaches } = await auditLedger(studio.sql);
  if (breaches.length > 0) throw new Error(breaches.map(({ rule, row }) => `${rule}: ${row}`).join("\n"));
});

async function grantOf(account: AccountId, amount: bigint, lifeMs: number | null = null): Promise<string> {
  const expiresAt = lifeMs === null ? null : new Date(Date.now() + lifeMs);
  const terms = {
    account,
    amount: milliCredits(amount),
    category: "paid",
    priority: 50,
    effectiveAt: null,
    expiresAt,
  } as const;
  const granted = await grantCredits(studio.sql, BY_TEST, terms, null);
  const grant = granted.ok ? granted.value.entries[0]?.grantId : undefined;
  if (grant === undefined) throw new Error("the grant was refused");
  return grant;
}

async function finish(id: VideoId): Promise<void> {
  const { epoch } = (await studio.dispatched(id)).job;
  const event = { kind: "finished", epoch, artifact: anArtifact(), artifactKey: "x.mp4" } as const;
  expect(await recordEnd(studio.sql, { job: id, epoch }, event)).toMatchObject({ ok: true });
}

async function booksOf(grant: string) {
  const [row] = await studio.sql`
    select available, held, consumed, expired, voided from credit_grant where id = ${grant}`;
  return row;
}

const NONE = { available: 0n, held: 0n, consumed: 0n, expired: 0n, voided: 0n };

test("an expiry takes what nobody holds, and the video that holds the rest may still be charged", async () => {
  const account = await studio.account("pro");
  const grant = await grantOf(account, 1_000n, SOON_MS);
  const job = await studio.submitted(account);
  await studio.expired(grant);
  expect(await booksOf(grant)).toEqual({ ...NONE, held: PRICE, expired: 750n });
  await finish(job.id);
  expect(await booksOf(grant)).toEqual({ ...NONE, consumed: PRICE, expired: 750n });
});

test("what a cancelled video gives back to a grant that has ended is forfeited", async () => {
  const account = await studio.account("pro");
  const grant = await grantOf(account, PRICE, SOON_MS);
  const job = await studio.submitted(account);
  await studio.expired(grant);
  await cancelVideo(studio.sql, account, job.id);
  expect(await booksOf(grant)).toEqual({ ...NONE, expired: PRICE });
  expect(await grantsOf(studio.sql, account, { limit: 10 })).toHaveLength(1);
});

test("what the platform's fault forfeits is made good by one grant of the same kind that lives three days", async () => {
  const account = await studio.account("pro");
  const [first, second] = [await grantOf(account, 100n, SOON_MS), await grantOf(account, 200n, SOON_MS + 1)];
  const job = await studio.submitted(account);
  await studio.expired(first);
  await studio.expired(second);
  await moveJob(studio.sql, job.id, { kind: "deadline_passed", which: "total" });
  const grants = await grantsOf(studio.sql, account, { limit: 10 });
  const made = grants.find(({ id }) => id === `make_good:${job.id}`);
  expect(made).toMatchObject({ amount: PRICE, available: PRICE, category: "paid", priority: 50, status: "active" });
  expect((made?.expiresAt?.getTime() ?? 0) - (made?.effectiveAt.getTime() ?? 0)).toBe(72 * 3_600_000);
  expect(await balanceOf(studio.sql, account)).toMatchObject({ available: PRICE, held: 0n, expired: 300n });
});

test("a void takes what is free at once, and what a video holds when it gives it back", async () => {
  const account = await studio.account("pro");
  const grant = await grantOf(account, 1_000n);
  const [kept, given] = [await studio.submitted(account), await studio.submitted(account)];
  const voided = await voidGrant(studio.sql, BY_TEST, grant, "charged back", "void-1");
  expect(voided).toMatchObject({ ok: true, value: { amount: 500n, repeated: false } });
  expect(await booksOf(grant)).toEqual({ ...NONE, held: 500n, voided: 500n });
  await finish(kept.id);
  await moveJob(studio.sql, given.id, { kind: "deadline_passed", which: "total" });
  // A void is the operator's will: nothing is made good.
  expect(await booksOf(grant)).toEqual({ ...NONE, consumed: PRICE, voided: 750n });
  expect(await grantsOf(studio.sql, account, { limit: 10 })).toHaveLength(1);
});

test("the same idempotency key acts once and answers the same; with another request it is refused", async () => {
  const account = await studio.account("pro");
  const grants = await Promise.all(
    Array.from({ length: 8 }, () =>
      grantCredits(
        studio.sql,
        BY_TEST,
        { account, amount: milliCredits(900n), category: "plan", priority: 1, effectiveAt: null, expiresAt: null },
        "top-up-7",
      ),
    ),
  );
  expect(
    new Set(grants.map((granted) => (granted.ok ? granted.value.entries[0]?.grantId : granted.refusal.code))).size,
  ).toBe(1);
  expect(grants.filter((granted) => granted.ok && !granted.value.repeated)).toHaveLength(1);
  expect(await balanceOf(studio.sql, account)).toMatchObject({ available: 900n });
  expect(await adjust(studio.sql, BY_TEST, account, milliCredits(900n), "more", "top-up-7")).toMatchObject({
    ok: false,
    refusal: { code: "idempotency_key_reuse" },
  });
});

test("an adjustment adds a grant that never ends, or takes from what can be spent, all or nothing", async () => {
  const account = await studio.account("pro", { amount: "0.1", priority: 10 }, { amount: "0.3" });
  const taken = await adjust(studio.sql, BY_TEST, account, milliCredits(-250n), "fraud", "a-1");
  expect(taken).toMatchObject({ ok: true, value: { entries: [{ amount: 100n }, { amount: 150n }] } });
  expect(await adjust(studio.sql, BY_TEST, account, milliCredits(-151n), "fraud", "a-2")).toMatchObject({
    ok: false,
    refusal: { code: "insufficient_credits", numbers: { required: "0.151", available: "0.15" } },
  });
  expect(await adjust(studio.sql, BY_TEST, account, milliCredits(40n), "sorry", "a-3")).toMatchObject({ ok: true });
  expect(await balanceOf(studio.sql, account)).toMatchObject({ available: 190n, consumed: 250n });
});

test("a refund goes back to the grants that paid; the part of one that has ended stays ended", async () => {
  const account = await studio.account("pro", { amount: "5" });
  const grant = await grantOf(account, 100n, SOON_MS);
  const job = await studio.submitted(account);
  await finish(job.id);
  await studio.expired(grant);
  expect(await refundVideo(studio.sql, BY_TEST, job.id, "it was all grey", "r-1")).toMatchObject({
    ok: true,
    value: { amount: PRICE },
  });
  expect(await booksOf(grant)).toEqual({ ...NONE, expired: 100n });
  expect(await balanceOf(studio.sql, account)).toMatchObject({ available: 5_000n, consumed: 0n, expired: 100n });
  expect(await refundVideo(studio.sql, BY_TEST, job.id, "again", "r-2")).toMatchObject({ ok: false });
  const usage = (await holdUsageOf(studio.sql, [job.id])).get(job.id);
  expect(usage).toMatchObject({ reserved: PRICE, held: 0n, charged: PRICE, released: 0n, refunded: PRICE });
  expect(usage?.lots.map(({ amount }) => amount)).toEqual([100n, 150n]);
});

test("an ended grant and one that is not there cannot be voided, and zero cannot be adjusted", async () => {
  const account = await studio.account("pro");
  const grant = await grantOf(account, 100n, SOON_MS);
  await studio.expired(grant);
  expect(await voidGrant(studio.sql, BY_TEST, grant, "late", null)).toMatchObject({ refusal: { code: "grant_ended" } });
  expect(await voidGrant(studio.sql, BY_TEST, "grant_x", "no", null)).toMatchObject({ refusal: { code: "not_found" } });
  expect(await adjust(studio.sql, BY_TEST, account, milliCredits(0n), "no", null)).toMatchObject({
    refusal: { param: "amount" },
  });
  const backwards = {
    amount: milliCredits(1n),
    category: "paid",
    priority: 50,
    effectiveAt: null,
    expiresAt: new Date(0),
  } as const;
  expect(await grantCredits(studio.sql, BY_TEST, { account, ...backwards }, null)).toMatchObject({
    refusal: { param: "expires_at" },
  });
});

test("the journal has every move in order, a running balance, and pages that meet", async () => {
  const account = await studio.account("pro", { amount: "1" });
  const job = await studio.submitted(account);
  await cancelVideo(studio.sql, account, job.id);
  const all = await transactionsOf(studio.sql, account, { limit: 10 });
  expect(all.map(({ kind, effect, availableAfter }) => [kind, effect, availableAfter])).toEqual([
    ["released", 250n, 1_000n],
    ["held", -250n, 750n],
    ["funded", 1_000n, 1_000n],
  ]);
  const page = await transactionsOf(studio.sql, account, { limit: 1 });
  expect(page).toHaveLength(2);
  const rest = await transactionsOf(studio.sql, account, { limit: 10, after: String(page[0]?.id) });
  expect(rest).toEqual(all.slice(1));
  const exported: bigint[] = [];
  for await (const batch of exportJournal(studio.sql, new Date(0), new Date(Date.now() + 60_000))) {
    exported.push(...batch.map(({ id }) => id));
  }
  expect(exported).toEqual(expect.arrayContaining(all.map(({ id }) => id)));
  expect(new Set(exported).size).toBe(exported.length);
});

test("nothing can rewrite the journal or forget an act", async () => {
  for (const table of ["credit_entry", "credit_act"]) {
    const name = studio.sql(table);
    await expect(studio.sql`update ${name} set at = now()`).rejects.toThrow("append-only");
    await expect(studio.sql`delete from ${name}`).rejects.toThrow("append-only");
    await expect(studio.sql`truncate ${name} cascade`).rejects.toThrow("append-only");
  }
});

test("a replica that leads no more expires nothing", async () => {
  const [past, ended] = [-2, -1].map((days) => new Date(Date.now() + days * 86_400_000).toISOString());
  const account = await studio.account("pro", { amount: "1", effective_at: past, expires_at: ended });
  await expect(expireGrants(studio.sql, 999)).rejects.toThrow(NotLeaderError);
  const posted = await expireGrants(studio.sql, await studio.leaderEpoch());
  expect(posted.filter((grant) => grant.account === account)).toMatchObject([{ amount: 1_000n }]);
});

test("an account never waits for another's: submits, ends and top-ups go on beside a transaction that hangs", async () => {
  const [slow, quick] = [await studio.account("pro", { amount: "9" }), await studio.account("pro", { amount: "9" })];
  await studio.sql.begin(async (tx) => {
    await tx`select 1 from account where id = ${slow} for no key update`;
    await tx`update credit_grant set priority = priority where account_id = ${slow}`;
    const job = await studio.submitted(quick);
    await cancelVideo(studio.sql, quick, job.id);
    await grantOf(quick, 1n);
  });
  expect(await balanceOf(studio.sql, quick)).toMatchObject({ available: 9_001n });
});

test("a balance counts a grant as over from its end on, before anybody posted it, and one to come as pending", async () => {
  const [past, ended, tomorrow] = [-2, -1, 1].map((days) => new Date(Date.now() + days * 86_400_000).toISOString());
  const account = await studio.account(
    "pro",
    { amount: "1", effective_at: past, expires_at: ended },
    { amount: "2", effective_at: tomorrow },
    { amount: "4" },
  );
  const balance = await balanceOf(studio.sql, account);
  expect(balance).toMatchObject({ available: 4_000n, pending: 2_000n, expired: 1_000n });
  expect(balance.grants.map(({ status }) => status)).toEqual(["active", "pending", "expired"]);
});
