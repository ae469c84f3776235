/** A runner is gone: its jobs go back to the queue, or are given up, and what it took with it is noted against it. */
import type { Sql } from "#control-plane/db/connect.ts";
import { recordIncident } from "#control-plane/db/incidents.ts";
import { postTermsChanged } from "#control-plane/db/jobs.ts";
import { inTransaction } from "#control-plane/db/transaction.ts";
import type { RunnerId, VideoId } from "#protocol/id.ts";
import type { LeaseRef } from "#protocol/runner.ts";
import { moveJob } from "./move-job.ts";

/** Answers the jobs that moved; a lease that is over changes nothing. Only the leader may say that a runner is gone. */
export async function loseRunner(
  sql: Sql,
  leaderEpoch: number,
  runner: RunnerId,
  leases: readonly LeaseRef[],
): Promise<readonly VideoId[]> {
  const lost: VideoId[] = [];
  for (const { job, epoch } of leases) {
    const moved = await moveJob(sql, job, { kind: "lost", epoch, how: "died", aboard: leases.length }, { leaderEpoch });
    if (moved.ok) lost.push(job);
  }
  if (lost.length > 0) {
    await inTransaction(sql, async (tx) => {
      await recordIncident(tx, runner, lost);
      // It may be quarantined now.
      await postTermsChanged(tx);
    });
  }
  return lost;
}
