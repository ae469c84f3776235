/** The statement of a submit: one round trip, and nothing is left of one whose conditions hold no more. */
import { randomBytes } from "node:crypto";
import postgres from "postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Sql } from "#control-plane/db/connect.ts";
import { insertJob } from "#control-plane/db/submit.ts";
import type { NewJob } from "#control-plane/db/submit.ts";
import { queuedDataOf } from "#control-plane/core/job-view.ts";
import { submitJob } from "#control-plane/usecase/submit-job.ts";
import { CreateVideo } from "#protocol/create-video.ts";
import { RequestId } from "#protocol/id.ts";
import type { AccountId } from "#protocol/id.ts";
import { GpuMillis, milliCredits } from "#protocol/unit.ts";
import { aCreateKey, Studio, TINY } from "#tests/support/studio.ts";

let studio: Studio;
beforeAll(async () => {
  studio = await Studio.open();
});
afterAll(() => studio.close());

function aRequestId(): RequestId {
  return RequestId.parse(`req_${randomBytes(16).toString("hex")}`);
}

function aJob(account: AccountId, changed: Partial<NewJob> = {}): NewJob {
  const price = milliCredits(250n);
  const terms = {
    model: "reference",
    class: "192p/1s",
    size: "320x192",
    fps: 24,
    seconds: 1,
    steps: 10,
    seed: 7,
    price,
  } as const;
  return {
    account,
    requestId: aRequestId(),
    createKey: aCreateKey(),
    tier: "pro",
    prompt: "a red fox",
    negativePrompt: "",
    metadata: { shot: "4" },
    reference: null,
    webhookUrl: null,
    claim: null,
    remixOf: null,
    promoteOf: null,
    startDeadlineS: null,
    deadlineS: 60,
    terms: { ...terms, firstStep: 0, stopAfter: null, gpuMs: GpuMillis.parse(250) },
    event: queuedDataOf(price),
    ...changed,
  };
}

/** Everything a submit could leave behind. */
async function traces(account: AccountId, { requestId, createKey }: NewJob) {
  const [row] = await studio.sql`
    select (select count(*)::int from job where create_key = ${createKey}) as jobs,
      (select count(*)::int from nonce where request_id = ${requestId}) as nonces,
      (select count(*)::int from credit_hold where account_id = ${account}) as holds,
      (select count(*)::int from credit_entry where account_id = ${account} and kind = 'held') as entries,
      (select count(*)::int from event where account_id = ${account}) as events,
      (select count(*)::int from inbox where job_id in (select id from job where account_id = ${account})) as mail`;
  return row;
}

test("a submit is one statement: nonce, hold, journal, job, event and mail, or none of them", async () => {
  const said: string[] = [];
  const sql: Sql = postgres(studio.url, {
    max: 1,
    types: { bigint: postgres.BigInt },
    transform: { column: { from: postgres.toCamel } },
    debug: (_connection, query) => said.push(query),
  });
  try {
    const account = await studio.account("pro", { amount: "5" });
    await sql`select 1`;
    said.length = 0;
    const job = aJob(account);
    expect(await insertJob(sql, job)).toMatchObject({
      accountId: account,
      state: "queued",
      price: 250n,
      metadata: { shot: "4" },
    });
    expect(said).toHaveLength(1);
    expect(await traces(account, job)).toEqual({ jobs: 1, nonces: 1, holds: 1, entries: 1, events: 1, mail: 1 });
  } finally {
    await sql.end();
  }
});

test.each([
  ["its tier has changed", { tier: "free" }],
  ["its class is offered no more", { terms: { ...aJob("acct" as AccountId).terms, class: "gone" } }],
  ["it is too dear by now", { terms: { ...aJob("acct" as AccountId).terms, price: milliCredits(5_001n) } }],
])("a submit writes nothing if %s when it gets the account's lock", async (_why, changed) => {
  const account = await studio.account("pro", { amount: "5" });
  const job = aJob(account, changed);
  expect(await insertJob(studio.sql, job)).toBeNull();
  expect(await traces(account, job)).toEqual({ jobs: 0, nonces: 0, holds: 0, entries: 0, events: 0, mail: 0 });
});

test("a replayed call is refused, whether the first was admitted or not, and twice at once admits one", async () => {
  const [rich, poor] = [await studio.account("pro", { amount: "5" }), await studio.account("pro")];
  const submit = (account: AccountId, requestId: RequestId) =>
    submitJob(studio.sql, {
      account,
      requestId,
      submit: { create_key: aCreateKey(), video: CreateVideo.parse(TINY) },
      reference: null,
      seed: 7,
      loadOf: () => ({ queued: 0, queuedGpuS: 0, queuedGpuSMax: 1, predictedStartS: null, predictedStartP90S: null }),
    });
  const replayed = { ok: false, refusal: { param: "x-request-id" } };
  const [first, second] = [aRequestId(), aRequestId()];
  expect(await submit(rich, first)).toMatchObject({ ok: true });
  expect(await submit(rich, first)).toMatchObject(replayed);
  expect(await submit(poor, second)).toMatchObject({ ok: false, refusal: { code: "insufficient_credits" } });
  expect(await submit(poor, second)).toMatchObject(replayed);
  const third = aRequestId();
  const outcomes = await Promise.all([submit(rich, third), submit(rich, third), submit(rich, third)]);
  expect(outcomes.filter(({ ok }) => ok)).toHaveLength(1);
  expect(outcomes.filter(({ ok }) => !ok)).toMatchObject([replayed, replayed]);
});
