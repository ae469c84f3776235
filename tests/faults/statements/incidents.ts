/** As `control-plane/db/incidents.ts`. */
import type { Sql, Transaction } from "#control-plane/db/connect.ts";
import type { RunnerId, VideoId } from "#protocol/id.ts";
import { statement } from "../postgres/client.ts";
import { tables } from "../postgres/here.ts";

const WINDOW_MS = 600_000;
const QUARANTINE_MS = 300_000;
const KEPT_MS = 86_400_000;

export function recordIncident(tx: Transaction, runner: RunnerId, jobs: readonly VideoId[]): Promise<void> {
  return statement(tx, "recordIncident", (on) => {
    const id = tables().nextId();
    on.insert(tables().incident, String(id), { id, runnerId: runner, at: on.now, jobs });
  });
}

export function quarantinedRunners(sql: Sql | Transaction): Promise<readonly RunnerId[]> {
  return statement(sql, "quarantinedRunners", (on) => {
    const rows = [...on.rows(tables().incident)].sort((a, b) => b.id - a.id);
    const guilty = rows.filter(
      (later) =>
        Number(on.now) - Number(later.at) < QUARANTINE_MS &&
        rows.some(
          (earlier) =>
            earlier.runnerId === later.runnerId &&
            earlier.id < later.id &&
            Number(later.at) - Number(earlier.at) < WINDOW_MS &&
            !earlier.jobs.some((job) => later.jobs.includes(job)),
        ),
    );
    return [...new Set(guilty.map(({ runnerId }) => runnerId))];
  });
}

export function forgiveRunner(tx: Transaction, runner: RunnerId): Promise<void> {
  return statement(tx, "forgiveRunner", (on) => {
    const { incident } = tables();
    for (const [key, row] of on.entries(incident)) if (row.runnerId === runner) on.put(incident, key, null);
  });
}

export function forgetIncidents(sql: Sql): Promise<void> {
  return statement(sql, "forgetIncidents", (on) => {
    const { incident } = tables();
    for (const [key, row] of on.entries(incident))
      if (Number(on.now) - Number(row.at) > KEPT_MS) on.put(incident, key, null);
  });
}
