/** As `control-plane/db/runners.ts`. */
import type { Sql } from "#control-plane/db/connect.ts";
import type { KnownRunner, RunnerRow } from "#control-plane/db/runners.ts";
import type { RunnerId } from "#protocol/id.ts";
import { statement } from "../postgres/client.ts";
import { tables } from "../postgres/here.ts";

export function upsertRunner(sql: Sql, described: RunnerRow): Promise<void> {
  return statement(sql, "upsertRunner", (on) => {
    const { runner } = tables();
    on.lock(runner, described.id);
    on.put(runner, described.id, { ...described, drained: on.get(runner, described.id)?.drained ?? false });
  });
}

export function allRunners(sql: Sql): Promise<readonly KnownRunner[]> {
  return statement(sql, "allRunners", (on) => [...on.rows(tables().runner)].sort((a, b) => (a.id < b.id ? -1 : 1)));
}

export function drainedRunners(sql: Sql): Promise<readonly RunnerId[]> {
  return statement(sql, "drainedRunners", (on) =>
    [...on.rows(tables().runner)].filter(({ drained }) => drained).map(({ id }) => id),
  );
}
