/**
 * Submits a second, of one account and of 64, beside a bare insert of one row, all from 64 clients in one run.
 *
 * `npm run bench:ledger [-- seconds]`. PostgreSQL is durable here (fsync on), as in production. The audit of what was written
 * is timed too.
 */
import { randomBytes } from "node:crypto";
import { migrate } from "#control-plane/db/migrate.ts";
import { auditLedger } from "#control-plane/usecase/audit-ledger.ts";
import { submitJob } from "#control-plane/usecase/submit-job.ts";
import { CreateVideo } from "#protocol/create-video.ts";
import { RequestId } from "#protocol/id.ts";
import type { AccountId } from "#protocol/id.ts";
import { openServer } from "#tests/support/own-postgres.ts";
import { aCreateKey, Studio, TINY } from "#tests/support/studio.ts";

const CLIENTS = 64;
const ACCOUNTS = 64;
const VIDEO = CreateVideo.parse(TINY);
const seconds = Number(process.argv[2] ?? 10);

const server = await openServer({ durable: true });
try {
  await migrate(server.url);
  const studio = new Studio(server.url, async () => undefined, CLIENTS);
  try {
    await studio.sql`update tier set max_queued = 1000000`;
    await studio.sql`create table bare (id text primary key, body jsonb not null)`;
    const accounts = await Promise.all(
      Array.from({ length: ACCOUNTS }, () => studio.account("pro", { amount: "1000000" })),
    );
    const [one] = accounts;
    if (one === undefined) throw new Error("there are accounts");
    const bare = await perSecond(
      () =>
        studio.sql`insert into bare values (${randomBytes(12).toString("hex")}, ${studio.sql.json({ prompt: "a red fox" })})`,
    );
    const many = await perSecond((n) => submit(studio, accounts[n % ACCOUNTS] ?? one));
    const single = await perSecond(() => submit(studio, one));
    const startedMs = performance.now();
    const { breaches, entries } = await auditLedger(studio.sql);
    const audit = { entries, breaches: breaches.length, audit_ms: Math.round(performance.now() - startedMs) };
    console.log(JSON.stringify({ clients: CLIENTS, bare, of_64_accounts: many, of_one_account: single, ...audit }));
  } finally {
    await studio.close();
  }
} finally {
  await server.close();
}

/** What a request does once its admission outlook is in the cache. */
async function submit({ sql }: Studio, account: AccountId): Promise<void> {
  const submitted = await submitJob(sql, {
    account,
    requestId: RequestId.parse(`req_${randomBytes(16).toString("hex")}`),
    submit: { create_key: aCreateKey(), video: VIDEO },
    reference: null,
    seed: 7,
    loadOf: () => ({ queued: 0, queuedGpuS: 0, queuedGpuSMax: 1, predictedStartS: null, predictedStartP90S: null }),
  });
  if (!submitted.ok) throw new Error(submitted.refusal.message);
}

/** How often all clients together do it in a second. */
async function perSecond(work: (n: number) => Promise<unknown>): Promise<number> {
  let count = 0;
  const startedMs = performance.now();
  const endMs = startedMs + seconds * 1_000;
  await Promise.all(
    Array.from({ length: CLIENTS }, async (_, client) => {
      while (performance.now() < endMs) {
        await work(client);
        count++;
      }
    }),
  );
  return Math.round(count / ((performance.now() - startedMs) / 1_000));
}
