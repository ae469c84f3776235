/** The witness of `npm run chaos` must be able to accuse: each wrong is done by hand here. */
import postgres from "postgres";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Witness } from "#tests/chaos/witness.ts";
import { createTestDatabase, type TestDatabase } from "#tests/support/postgres.ts";

let database: TestDatabase;
let sql: postgres.Sql;
let witness: Witness;
beforeEach(async () => {
  database = await createTestDatabase();
  sql = postgres(database.url, { max: 1, onnotice: () => undefined });
  witness = await Witness.call(sql);
});
afterEach(async () => {
  await sql.end();
  await database.drop();
});

test("a leader's epoch that falls, and a write of an older leader, are seen", async () => {
  const summary = (epoch: number) => sql`
    insert into admission_summary (tier, class, queued, backlog_ms, epoch, at) values ('free', 'c', 0, 0, ${epoch}, now())
    on conflict (tier, class) do update set epoch = excluded.epoch`;
  await sql`insert into leader (epoch, holder, expires_at) values (7, 'a', now())`;
  await summary(7);
  await summary(8);
  expect(await witness.breaches(0)).toEqual([]);
  await summary(7);
  await sql`update leader set epoch = 6`;
  expect(await witness.breaches(0)).toEqual([
    "admission_summary: epoch 7 wrote after 8",
    "the leader's epoch fell from 7 to 6",
  ]);
});

test("a job whose epoch falls or whose end is undone, and a checkpoint of an attempt that is over, are seen", async () => {
  await sql.begin(async (tx) => {
    // A hand with every right; the witness's triggers stay on.
    await tx`set local session_replication_role = replica`;
    for (const table of ["job", "attempt", "checkpoint"]) {
      await tx.unsafe(`alter table ${table} enable always trigger chaos`);
    }
    await tx`
      insert into job (id, account_id, create_key, tier, model, class, prompt, negative_prompt, size, fps, seconds, steps,
        seed, metadata, price, gpu_ms, deadline_at, epoch)
      values ('video_1', 'acct_1', 'ck_1', 'free', 'reference', 'c', '', '', '320x192', 24, 1, 8, 1, '{}', 1, 1, now(), 2)`;
    await tx`insert into attempt (job_id, epoch, runner_id, from_step) values ('video_1', 1, 'host-1', 0)`;
    await tx`update attempt set ended_at = now(), outcome = 'lost'`;
    await tx`
      insert into checkpoint (job_id, epoch, step, store_key, sha256, bytes, exactness)
      values ('video_1', 1, 4, 'k', 's', 1, 'exact')`;
    await tx`update job set epoch = 1`;
    await tx`update job set state = 'failed', finished_at = now(), error_code = 'deadline_exceeded', error_fault = 'platform'`;
    await tx`update job set state = 'queued', finished_at = null, error_code = null, error_fault = null`;
  });
  expect(await witness.breaches(0)).toEqual([
    "stale: a checkpoint of video_1/1 after its end",
    "the epoch of video_1 fell from 2 to 1",
    "video_1 went from failed to queued",
  ]);
});
