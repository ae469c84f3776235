/** A flood of calls takes no connection from what must go on, and one replica never takes more than its share of PostgreSQL's. */
import postgres from "postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import { CONNECTIONS_MAX } from "#control-plane/db/connect.ts";
import { Studio } from "#tests/support/studio.ts";

const LOCK = 4_711;

let studio: Studio;
beforeAll(async () => {
  studio = await Studio.open();
});
afterAll(() => studio.close());

test("while a hundred calls sit on every connection of theirs, leader, webhooks and operator are served; twenty connections are all", async () => {
  const { sql, loops, hooks, admin } = studio.database;
  // Of no replica, so that no timeout of a session ends it.
  const holder = postgres(studio.url, { max: 1 });
  await holder`select pg_advisory_lock(${LOCK})`;
  let answered = 0;
  const flood = Array.from({ length: 100 }, () =>
    sql.begin(async (tx) => {
      await tx`select pg_advisory_xact_lock(${LOCK})`;
      answered++;
    }),
  );
  const served = await Promise.all(
    [loops, hooks, admin].flatMap((lane) => Array.from({ length: 20 }, () => lane`select 1 as one`)),
  );
  expect(served).toHaveLength(60);
  expect(answered).toBe(0);
  const [open] = await admin<{ n: number }[]>`
    select count(*)::int as n from pg_stat_activity where datname = current_database() and application_name = 'callsheet'`;
  expect(open?.n).toBeLessThanOrEqual(CONNECTIONS_MAX);
  expect(CONNECTIONS_MAX).toBeLessThanOrEqual(20);
  await holder.end();
  await Promise.allSettled(flood);
});
