/** Runners as they last described themselves. */
import type { RunnerId } from "#protocol/id.ts";
import { Device } from "#protocol/runner.ts";
import type { EngineCaps } from "#protocol/runner.ts";
import type { Sql } from "./connect.ts";

export interface RunnerRow {
  readonly id: RunnerId;
  readonly engine: string;
  readonly build: string;
  readonly models: readonly string[];
  readonly caps: EngineCaps;
  readonly devices: readonly Device[];
}

export async function upsertRunner(sql: Sql, runner: RunnerRow): Promise<void> {
  await sql`
    insert into runner (id, engine, build, models, caps, devices)
    values (${runner.id}, ${runner.engine}, ${runner.build}, ${sql.array([...runner.models])},
      ${sql.json(runner.caps)}, ${sql.json(runner.devices)})
    on conflict (id) do update set engine = excluded.engine, build = excluded.build, models = excluded.models,
      caps = excluded.caps, devices = excluded.devices, last_seen_at = now()`;
}

export async function allRunners(sql: Sql): Promise<readonly RunnerRow[]> {
  const rows = await sql<RunnerRow[]>`select id, engine, build, models, caps, devices from runner order by id`;
  // A runner that has not dialled since an upgrade described its devices in fewer words: parsing adds what is missing.
  return rows.map((row) => ({ ...row, devices: row.devices.map((device) => Device.parse(device)) }));
}
