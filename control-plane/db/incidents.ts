/**
 * Runners that went away with work aboard, or whose machine broke it, and which of them are the likely cause: one that lost two
 * disjoint sets of jobs in a short time is to blame, not the jobs. It is quarantined for a while from the later one on.
 */
import type { RunnerId, VideoId } from "#protocol/id.ts";
import type { Sql, Transaction } from "./connect.ts";

/** Two incidents this close together count. */
const WINDOW_S = 600;
const QUARANTINE_S = 300;
/** Kept to look at. */
const KEPT_S = 86_400;

export async function recordIncident(tx: Transaction, runner: RunnerId, jobs: readonly VideoId[]): Promise<void> {
  await tx`insert into runner_incident (runner_id, jobs) values (${runner}, ${tx.array([...jobs])})`;
}

/** The latest first. */
export async function quarantinedRunners(sql: Sql | Transaction): Promise<readonly RunnerId[]> {
  const rows = await sql<{ id: RunnerId }[]>`
    select later.runner_id as id
    from runner_incident later join runner_incident earlier on earlier.runner_id = later.runner_id
    where later.at > now() - make_interval(secs => ${QUARANTINE_S})
      and earlier.at > later.at - make_interval(secs => ${WINDOW_S})
      and earlier.id < later.id and not earlier.jobs && later.jobs
    group by later.runner_id order by max(later.id) desc`;
  return rows.map(({ id }) => id);
}

/** The operator vouches for it. */
export async function forgiveRunner(tx: Transaction, runner: RunnerId): Promise<void> {
  await tx`delete from runner_incident where runner_id = ${runner}`;
}

export async function forgetIncidents(sql: Sql): Promise<void> {
  await sql`delete from runner_incident where at < now() - make_interval(secs => ${KEPT_S})`;
}
