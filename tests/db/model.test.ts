/** The simulation's model of PostgreSQL answers as PostgreSQL does, and leaves the same rows: else what it proves is nothing. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { connect } from "#control-plane/db/connect.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import { Tables } from "#tests/faults/postgres/tables.ts";
import { play } from "#tests/faults/play.ts";
import { accountId, furnish } from "#tests/faults/world/studio.ts";
import { createTestDatabase } from "#tests/support/postgres.ts";

const SEEDS = [1, 2, 3, 4];
const COMMANDS = 250;
const PLAY_ON_MODEL = fileURLToPath(new URL("../faults/play-on-model.ts", import.meta.url));
const run = promisify(execFile);

test.each(SEEDS)(
  "a random history of statements is the same on PostgreSQL and on the model (seed %i)",
  async (seed) => {
    const { url, drop } = await createTestDatabase();
    const database = connect(url);
    try {
      await furnishReal(database.sql);
      const accounts = [accountId(0), accountId(1)];
      const rows = () => realRows(database.sql);
      const real = await play(seed, COMMANDS, { sql: database.sql, accounts, rows });
      const order = [PLAY_ON_MODEL, String(seed), String(COMMANDS)];
      const { stdout } = await run(process.execPath, order, { maxBuffer: 2 ** 28 });
      const modelled = stdout.trimEnd().split("\n");
      const at = real.findIndex((line, index) => line !== modelled[index]);
      expect({ at, line: JSON.parse(modelled[at] ?? "null") as unknown }).toEqual({
        at: -1,
        line: JSON.parse(real[at] ?? "null") as unknown,
      });
      expect(modelled).toHaveLength(COMMANDS);
    } finally {
      await database.close();
      await drop();
    }
  },
);

/** The studio of the simulation, in the real tables. */
async function furnishReal(sql: Sql): Promise<void> {
  const tables = new Tables();
  furnish(tables, 2);
  await sql`delete from model_class`;
  for (const row of tables.tier.committed()) {
    await sql`update tier set max_queued = ${row.maxQueued}, weight = ${row.weight} where name = ${row.name}`;
  }
  for (const row of tables.model.committed()) {
    await sql`
      update model set sizes = ${sql.json(row.sizes.map((size) => ({ ...size })))}, default_size = ${row.defaultSize}, fps = ${row.fps},
        seconds_min = ${row.secondsMin}, seconds_max = ${row.secondsMax}, seconds_default = ${row.secondsDefault},
        steps_default = ${row.stepsDefault}, steps_max = ${row.stepsMax}
      where name = ${row.name}`;
  }
  for (const row of tables.class.committed()) {
    await sql`
      insert into model_class (model, name, resolution, seconds_max, price, gpu_ms, shapes)
      values (${row.model}, ${row.name}, ${row.resolution}, ${row.secondsMax}, ${row.price}, ${row.gpuMs},
        ${sql.json(row.shapes.map((shape) => ({ ...shape })))})`;
  }
  for (const row of tables.account.committed()) {
    await sql`insert into account (id, name, tier) values (${row.id}, 'test', ${row.tier})`;
  }
  for (const row of tables.grant.committed()) {
    await sql`
      insert into credit_grant (id, account_id, amount, category, priority, effective_at)
      values (${row.id}, ${row.accountId}, ${row.amount}, ${row.category}, ${row.priority}, ${row.effectiveAt})`;
  }
}

async function realRows(sql: Sql): Promise<Readonly<Record<string, readonly unknown[]>>> {
  const [
    leader,
    jobs,
    attempts,
    claims,
    checkpoints,
    keys,
    inbox,
    holds,
    lots,
    grants,
    entries,
    events,
    subscriptions,
  ] = await Promise.all([
    sql`select epoch, holder from leader`.values(),
    sql`
      select id, state, epoch, attempts, progress, steps_done, preemptions, runner_deaths, engine_failures, runner_id, devices, slot,
        avoid_runner_id, error_code, artifact_key, lease_expires_at is not null, not_before is not null, finished_at is not null,
        deleted_at is not null, started_at is not null, run_alone
      from job order by created_at, id`.values(),
    sql`
      select job_id, epoch, runner_id, from_step, outcome, ended_at is not null, k, build
      from attempt order by job_id, epoch`.values(),
    sql`select runner_id, device, slot, job_id from device_claim order by runner_id, device, slot`.values(),
    sql`select job_id, epoch, step, store_key, unusable from checkpoint order by job_id, epoch, step`.values(),
    sql`select fingerprint, job_id from idempotency_key k join job on job.id = job_id order by job.created_at, job.id`.values(),
    sql`select job_id from inbox order by id`.values(),
    sql`select job_id, amount, captured, released, state from credit_hold order by job_id`.values(),
    sql`select job_id, grant_id, rank, amount, captured from credit_hold_lot order by job_id`.values(),
    sql`select id, available, held, consumed, expired, voided from credit_grant order by id`.values(),
    sql`select account_id, grant_id, job_id, kind, from_book, to_book, amount, available_after from credit_entry order by id`.values(),
    sql`select account_id, sequence_number, type from event order by account_id, sequence_number`.values(),
    sql`select account_id, sent_through from edge_subscription order by account_id`.values(),
  ]);
  return {
    leader,
    jobs,
    attempts,
    claims,
    checkpoints,
    keys,
    inbox,
    holds,
    lots,
    grants,
    entries,
    events,
    subscriptions,
  };
}
