/** The auditor: it finds what hands did to the ledger, stops admission until it is mended, and accepts what was there before it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { connect } from "#control-plane/db/connect.ts";
import type { Meter } from "#control-plane/core/meter.ts";
import { auditAndShow } from "#control-plane/loop/ledger-keeper.ts";
import { systemClock } from "#control-plane/system-clock.ts";
import { auditLedger } from "#control-plane/usecase/audit-ledger.ts";
import { cancelVideo } from "#control-plane/usecase/change-video.ts";
import { recordEnd } from "#control-plane/usecase/record-run.ts";
import type { AccountId, VideoId } from "#protocol/id.ts";
import { createEmptyDatabase } from "#tests/support/postgres.ts";
import { QUIET } from "#tests/support/quiet-host.ts";
import { Studio } from "#tests/support/studio.ts";

const ROOT = join(import.meta.dirname, "../..");

let studio: Studio;
beforeAll(async () => {
  studio = await Studio.open();
});
afterAll(() => studio.close());

/** A job of an account of its own, cancelled at step 4 of 10, and paid from two grants. */
async function aCancelledJob(): Promise<{ readonly account: AccountId; readonly id: VideoId }> {
  const account = await studio.account("pro", { amount: "0.2", priority: 1 }, { amount: "5" });
  const { id } = await studio.submitted(account);
  const { epoch } = (await studio.dispatched(id)).job;
  await cancelVideo(studio.sql, account, id);
  await recordEnd(studio.sql, { job: id, epoch }, { kind: "stopped", epoch, why: "cancel", step: 4 });
  return { account, id };
}

/** Each breaks one rule; `$1` is a job, `$2` its account. */
const CORRUPTIONS: readonly (readonly [rule: string, deed: string, sql: string])[] = [
  ["L1", "a grant owes", "update credit_grant set consumed = -10 where account_id = $2 and $1 <> ''"],
  [
    "L2",
    "an entry is given to somebody else",
    "update credit_entry set account_id = 'acct_nobody0000000000' where job_id = $1 and account_id = $2 and kind = 'held'",
  ],
  [
    "L3",
    "a hold is dated before its grant",
    "update credit_entry set at = at - interval '1 day' where job_id = $1 and account_id = $2 and kind = 'held'",
  ],
  [
    "L4",
    "a hold takes more than there was",
    "update credit_entry set amount = amount + 100000 where job_id = $1 and account_id = $2 and kind = 'held'",
  ],
  [
    "L5",
    "a hold is opened again",
    "update credit_hold set state = 'open', captured = 0, released = 0, settled_at = null where job_id = $1 and account_id = $2",
  ],
  [
    "L6",
    "an act asked for less",
    "update credit_act set request = request || '{\"amount\": \"1\"}' where account_id = $2 and $1 <> ''",
  ],
  ["L7", "a price is lowered afterwards", "update job set price = 1 where id = $1 and account_id = $2"],
  ["L8", "lots change places", "update credit_hold_lot set rank = 3 - rank where job_id = $1 and $2 <> ''"],
  [
    "L9",
    "a running balance is polished",
    "update credit_entry set available_after = available_after + 1 where job_id = $1 and account_id = $2 and kind = 'held'",
  ],
  [
    "L10",
    "an entry is back-dated",
    "update credit_entry set at = at - interval '1 hour' where job_id = $1 and account_id = $2 and kind = 'captured'",
  ],
  [
    "L11",
    "a grant is prolonged",
    "update credit_grant set expires_at = now() + interval '1 year' where account_id = $2 and $1 <> ''",
  ],
  ["L12", "a hold is lost", "delete from credit_hold where job_id = $1 and account_id = $2"],
  [
    "L13",
    "a grant has more left",
    "update credit_grant set consumed = consumed - 1 where account_id = $2 and consumed > 0 and $1 <> ''",
  ],
  [
    "L14",
    "a release comes back to an ended grant",
    "update credit_grant set expired_at = (select min(at) - interval '1 minute' from credit_entry where job_id = $1) where account_id = $2",
  ],
  [
    "L15",
    "a video is charged for steps it did not keep",
    "update job set steps_done = 9 where id = $1 and account_id = $2",
  ],
];

test("fifteen corruptions by hand are found in one pass, each under its own rule", async () => {
  const victims = new Map<string, { readonly account: AccountId; readonly id: VideoId }>();
  for (const [rule] of CORRUPTIONS) victims.set(rule, await aCancelledJob());
  expect((await auditLedger(studio.sql)).breaches).toEqual([]);
  const before = await studio.submit(await studio.account("pro", { amount: "5" }));
  expect(before.ok).toBe(true);

  await studio.sql.begin(async (tx) => {
    // A hand with every right: triggers, foreign keys and CHECKs do not stop it.
    await tx`set local session_replication_role = replica`;
    await tx`alter table credit_grant drop constraint credit_grant_not_overdrawn, drop constraint credit_grant_ended_has_nothing_free,
      drop constraint credit_grant_expires_after_start`;
    for (const [rule, , deed] of CORRUPTIONS) {
      const victim = victims.get(rule);
      if (victim === undefined) throw new Error("every corruption has a victim");
      expect((await tx.unsafe(deed, [victim.id, victim.account])).count).toBeGreaterThan(0);
    }
  });
  const { breaches } = await auditLedger(studio.sql);
  const entries = await studio.sql<
    { id: bigint; accountId: string; grantId: string }[]
  >`select id, account_id, grant_id from credit_entry`;
  const acts = await studio.sql<{ id: bigint; accountId: string }[]>`select id, account_id from credit_act`;
  for (const [rule, deed] of CORRUPTIONS) {
    const victim = victims.get(rule);
    const traces = [
      victim?.id,
      victim?.account,
      ...entries
        .filter(({ accountId }) => accountId === victim?.account)
        .flatMap(({ id, grantId }) => [`entry ${id}`, grantId]),
      ...acts.filter(({ accountId }) => accountId === victim?.account).map(({ id }) => `act ${id}`),
    ];
    const found = breaches.filter(
      (breach) => breach.rule === rule && traces.some((trace) => breach.row.includes(trace ?? "?")),
    );
    expect(found, `${rule}: ${deed}`).not.toEqual([]);
  }
});

test("a breach stops admission on every replica and shows in the metrics while reads stay up, until an audit is clean again", async () => {
  const healthy = await Studio.open();
  try {
    const account = await healthy.account("pro", { amount: "5" });
    const epoch = await healthy.leaderEpoch();
    await healthy.sql`update credit_grant set consumed = consumed + 1 where account_id = ${account}`;
    const shown = new Map<string, number>();
    const meter: Meter = { ...QUIET.meter, show: (name, value) => void shown.set(name, value) };
    const host = { clock: systemClock, log: QUIET.log, meter };
    await auditAndShow(healthy.sql, epoch, host);
    expect(shown.get("ledger_breaches")).toBeGreaterThan(0);
    expect(await healthy.submit(account)).toMatchObject({ ok: false, refusal: { code: "service_unavailable" } });
    await healthy.sql`update credit_grant set consumed = consumed - 1 where account_id = ${account}`;
    await auditAndShow(healthy.sql, epoch, host);
    expect(Object.fromEntries(shown)).toMatchObject({ ledger_breaches: 0, ledger_entries: 1 });
    expect(await healthy.submit(account)).toMatchObject({ ok: true });
  } finally {
    await healthy.close();
  }
});

test("an audit by hand says what is broken and exits 1, and exits 0 on a sound ledger", async () => {
  const own = await Studio.open();
  try {
    const account = await own.account("pro", { amount: "5" });
    await own.submitted(account);
    const { status, output } = await auditByHand(own.url);
    expect(status).toBe(0);
    expect(output).toMatch(/^15 rules, 2 entries, sound\n2 acts of operators, the last with hash [0-9a-f]{64}\n$/);
    await own.sql`update credit_hold set account_id = 'acct_nobody0000000000' where account_id = ${account}`;
    const broken = await auditByHand(own.url);
    expect(broken.status).toBe(1);
    expect(broken.output).toMatch(
      /^L12 {2}video video_\w+ is queued, its hold open\n15 rules, 2 entries, 1 rows broken\n.*\n$/,
    );
  } finally {
    await own.close();
  }
});

async function auditByHand(databaseUrl: string): Promise<{ readonly status: unknown; readonly output: string }> {
  const env = { ...process.env, CALLSHEET_DATABASE_URL: databaseUrl };
  const child = spawn(process.execPath, [join(ROOT, "control-plane/audit.ts")], {
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const output: string[] = [];
  child.stdout.on("data", (chunk) => output.push(String(chunk)));
  const [status] = (await once(child, "close")) as [unknown];
  return { status, output: output.join("") };
}

test("grants and holds from before the journal get opening entries that the auditor accepts", async () => {
  const { url, drop } = await createEmptyDatabase();
  const { sql, close } = connect(url);
  try {
    const folder = join(ROOT, "migrations");
    const files = readdirSync(folder)
      .filter((name) => name.endsWith(".sql"))
      .toSorted();
    const run = async (names: readonly string[]) => {
      for (const name of names) {
        const statements = readFileSync(join(folder, name), "utf8").split("--> statement-breakpoint");
        await sql.begin(async (tx) => {
          for (const statement of statements) await tx.unsafe(statement);
        });
      }
    };
    await run(files.filter((name) => name < "0005"));
    await sql`insert into account (id, name, tier) values ('acct_a', 'old', 'pro'), ('acct_b', 'old', 'pro')`;
    await sql`
      insert into credit_grant (id, account_id, amount, held, consumed, category, priority, expires_at) values
        ('g1', 'acct_a', 300, 0, 300, 'paid', 1, null), ('g2', 'acct_a', 500, 40, 60, 'plan', 2, now() + interval '1 day'),
        ('g3', 'acct_b', 70, 0, 0, 'paid', 1, now() - interval '1 day')`;
    await sql`
      insert into job (id, account_id, create_key, tier, model, class, prompt, negative_prompt, size, fps, seconds, steps, seed, metadata,
        price, gpu_ms, deadline_at, state, steps_done, finished_at, error_code)
      values
        ('video_1', 'acct_a', 'k1', 'pro', 'reference', '192p/1s', '', '', '320x192', 24, 1, 10, 1, '{}', 400, 1, now(), 'cancelled', 9, now(), 'cancelled'),
        ('video_2', 'acct_a', 'k2', 'pro', 'reference', '192p/1s', '', '', '320x192', 24, 1, 10, 1, '{}', 40, 1, now(), 'queued', 0, null, null)`;
    await sql`
      insert into credit_hold (job_id, account_id, amount, captured, released, state, settled_at) values
        ('video_1', 'acct_a', 400, 360, 40, 'settled', now()), ('video_2', 'acct_a', 40, 0, 0, 'open', null)`;
    await sql`
      insert into credit_hold_lot (job_id, grant_id, rank, amount, captured) values
        ('video_1', 'g1', 1, 300, 300), ('video_1', 'g2', 2, 100, 60), ('video_2', 'g2', 1, 40, 0)`;
    await run(files.filter((name) => name >= "0005"));
    const { breaches, entries } = await auditLedger(sql);
    expect(breaches).toEqual([]);
    // Three grants funded, three lots held, two captured, one released.
    expect(entries).toBe(9);
  } finally {
    await close();
    await drop();
  }
});
