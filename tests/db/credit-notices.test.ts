import { afterAll, beforeAll, expect, test } from "vitest";
import { insertEndpoint } from "#control-plane/db/webhook-endpoints.ts";
import { NotLeaderError, resignLeadership, takeLeadership } from "#control-plane/db/leader.ts";
import { adjust, refundVideo, voidGrant } from "#control-plane/usecase/credits.ts";
import { readEvents } from "#control-plane/usecase/read-account.ts";
import { recordEnd } from "#control-plane/usecase/record-run.ts";
import { tellCredits } from "#control-plane/usecase/tell-credits.ts";
import type { AccountId } from "#protocol/id.ts";
import { milliCredits } from "#protocol/unit.ts";
import { anArtifact, Studio } from "#tests/support/studio.ts";
import { BY_TEST } from "#tests/support/by-test.ts";

let studio: Studio;
let epoch = 0;
beforeAll(async () => {
  studio = await Studio.open();
  epoch = (await takeLeadership(studio.sql, "test", null, 600_000)) ?? 0;
});
afterAll(() => studio.close());

const look = () => tellCredits(studio.sql, epoch);
const inHours = (hours: number) => new Date(Date.now() + hours * 3_600_000).toISOString();
const change = async (account: AccountId, credits: number) => {
  const done = await adjust(studio.sql, BY_TEST, account, milliCredits(BigInt(credits) * 1_000n), "test", null);
  if (!done.ok) throw new Error(done.refusal.message);
};

async function creditEvents(account: AccountId) {
  const { events } = await readEvents(studio.sql, account, 0, 200);
  return events.flatMap(({ type, data }) => (type.startsWith("credits.") ? [{ type, data }] : []));
}

test("a balance that falls below 25 credits is told once, however many jobs go on around it", async () => {
  const account = await studio.account("pro", { amount: "100" });
  await change(account, -75);
  await look();
  expect(await creditEvents(account)).toEqual([]);
  await change(account, -1);
  await look();
  await change(account, -1);
  await change(account, 10);
  await change(account, -10);
  await look();
  await look();
  const low = { type: "credits.low_balance", data: { available: "24", threshold: "25" } };
  expect(await creditEvents(account)).toEqual([low]);
  // Only a real recovery arms it again.
  await change(account, 30);
  await look();
  await change(account, -50);
  await look();
  expect(await creditEvents(account)).toEqual([low, { ...low, data: { available: "3", threshold: "25" } }]);
});

test("a small first grant is no low balance, its first use is", async () => {
  const account = await studio.account("pro", { amount: "10" });
  await look();
  expect(await creditEvents(account)).toEqual([]);
  await studio.submitted(account);
  await look();
  expect(await creditEvents(account)).toMatchObject([{ type: "credits.low_balance", data: { available: "9.75" } }]);
});

test("a grant's end is told once, two days ahead, and only if something will be lost", async () => {
  const ends = inHours(47);
  const account = await studio.account(
    "pro",
    { amount: "40", expires_at: ends },
    { amount: "50", expires_at: inHours(49) },
    { amount: "60" },
  );
  const spent = await studio.account("pro", { amount: "0.25", expires_at: inHours(1) });
  await studio.submitted(spent);
  for (let pass = 0; pass < 3; pass++) await look();
  const [grant] = await studio.sql<{ id: string }[]>`
    select id from credit_grant where account_id = ${account} and amount = 40000`;
  const data = { grant_id: grant?.id, amount: "40", expires_at: Math.floor(Date.parse(ends) / 1_000) };
  expect(await creditEvents(account)).toEqual([{ type: "credits.grant_expiring", data }]);
  expect(await creditEvents(spent)).toMatchObject([{ type: "credits.low_balance" }]);
});

test("a grant whose end comes near while nothing moves is told all the same", async () => {
  const account = await studio.account("pro");
  await studio.sql`
    with granted as (
      insert into credit_grant (id, account_id, amount, category, priority, effective_at, expires_at)
      values ('grant_old', ${account}, 40000, 'paid', 50, now() - interval '1 day', now() + interval '47.5 hours')
      returning *
    )
    insert into credit_entry (account_id, grant_id, kind, from_book, to_book, amount, available_after, at)
    select account_id, id, 'funded', 'issued', 'available', amount, amount, now() - interval '1 day' from granted`;
  await look();
  expect(await creditEvents(account)).toEqual([]);
  // As if the last look had been an hour ago, when the end was still more than two days away.
  await studio.sql`update credit_watch set through = through - interval '1 hour'`;
  await look();
  expect(await creditEvents(account)).toMatchObject([{ type: "credits.grant_expiring", data: { amount: "40" } }]);
});

test("a grant that was voided is not announced to end", async () => {
  const account = await studio.account("pro", { amount: "40", expires_at: inHours(1) }, { amount: "60" });
  const [grant] = await studio.sql<
    { id: string }[]
  >`select id from credit_grant where account_id = ${account} and amount = 40000`;
  await voidGrant(studio.sql, BY_TEST, grant?.id ?? "", "test", null);
  await look();
  expect(await creditEvents(account)).toEqual([]);
});

test("a replica that leads no more tells nobody anything", async () => {
  const account = await studio.account("pro", { amount: "1" });
  await studio.submitted(account);
  await expect(tellCredits(studio.sql, epoch + 1)).rejects.toThrow(NotLeaderError);
  expect(await creditEvents(account)).toEqual([]);
  await look();
  expect(await creditEvents(account)).toHaveLength(1);
});

test("a refund is an event with its video, and goes to the webhooks that asked for it", async () => {
  const account = await studio.account("pro", { amount: "100" });
  await insertEndpoint(studio.database.orm, {
    account,
    url: "https://example.com/hook",
    secret: "whsec_AAAA",
    events: ["credits.refunded"],
  });
  const job = await studio.submitted(account);
  await resignLeadership(studio.sql, epoch);
  const { job: running } = await studio.dispatched(job.id);
  const lease = { job: job.id, epoch: running.epoch };
  const event = {
    kind: "finished",
    epoch: running.epoch,
    artifact: anArtifact(),
    artifactKey: "jobs/x/1/a.mp4",
  } as const;
  await recordEnd(studio.sql, lease, event);
  const refund = () => refundVideo(studio.sql, BY_TEST, job.id, "it was late", "refund-1");
  expect(await refund()).toMatchObject({ ok: true, value: { repeated: false } });
  expect(await refund()).toMatchObject({ ok: true, value: { repeated: true } });
  const refunded = { type: "credits.refunded", data: { video_id: job.id, amount: "0.25" } };
  expect(await creditEvents(account)).toEqual([refunded]);
  const bodies = await studio.sql<{ body: string }[]>`
    select body from webhook_delivery d join webhook_endpoint e on e.id = d.endpoint_id where e.account_id = ${account}`;
  expect(bodies.map(({ body }) => JSON.parse(body) as unknown)).toMatchObject([refunded]);
});
