/** Runners as they last described themselves, and whether the operator lets them work. */
import type { RunnerId } from "#protocol/id.ts";
import { Device } from "#protocol/runner.ts";
import type { EngineCaps } from "#protocol/runner.ts";
import type { Sql, Transaction } from "./connect.ts";

export interface RunnerRow {
  readonly id: RunnerId;
  readonly engine: string;
  readonly build: string;
  readonly models: readonly string[];
  readonly caps: EngineCaps;
  readonly devices: readonly Device[];
}

/** With what the operator says of it. */
export interface KnownRunner extends RunnerRow {
  readonly drained: boolean;
}

export async function upsertRunner(sql: Sql, runner: RunnerRow): Promise<void> {
  await sql`
    insert into runner (id, engine, build, models, caps, devices)
    values (${runner.id}, ${runner.engine}, ${runner.build}, ${sql.array([...runner.models])},
      ${sql.json(runner.caps)}, ${sql.json(runner.devices)})
    on conflict (id) do update set engine = excluded.engine, build = excluded.build, models = excluded.models,
      caps = excluded.caps, devices = excluded.devices, last_seen_at = now()`;
}

export async function allRunners(sql: Sql): Promise<readonly KnownRunner[]> {
  const rows = await sql<
    KnownRunner[]
  >`select id, engine, build, models, caps, devices, drained from runner order by id`;
  // A runner that has not dialled since an upgrade described its devices in fewer words: parsing adds what is missing.
  return rows.map((row) => ({ ...row, devices: row.devices.map((device) => Device.parse(device)) }));
}

export async function drainedRunners(sql: Sql): Promise<readonly RunnerId[]> {
  const rows = await sql<{ id: RunnerId }[]>`select id from runner where drained`;
  return rows.map(({ id }) => id);
}

/** False if there is no such runner. */
export async function setDrained(tx: Transaction, id: RunnerId, drained: boolean): Promise<boolean> {
  const rows = await tx`update runner set drained = ${drained} where id = ${id} returning 1`;
  return rows.length === 1;
}
