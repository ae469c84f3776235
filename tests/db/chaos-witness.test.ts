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
