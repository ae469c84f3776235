/**
 * Commits placements: one transaction a batch, guarded by the leader's epoch. A placement whose job moved on meanwhile, or
 * whose devices somebody holds, is refused; the others stand. What comes back is all the hub needs to send the work.
 */
import type { FairClock } from "#control-plane/core/scheduler/event.ts";
import { eventDataOf } from "#control-plane/core/job-view.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import { saveClock } from "#control-plane/db/fair-clock.ts";
import { appendEvent } from "#control-plane/db/events.ts";
import type { JobRow } from "#control-plane/db/jobs.ts";
import { assertLeader } from "#control-plane/db/leader.ts";
import { checkpointsOf, markStarting, openAttempt } from "#control-plane/db/leases.ts";
import type { Dispatch, StoredCheckpoint } from "#control-plane/db/leases.ts";
import { inTransaction } from "#control-plane/db/transaction.ts";
import type { VideoId } from "#protocol/id.ts";
import { LEASE_MS } from "#protocol/runner.ts";

/** Placements committed together; also bounds how many event counters one transaction holds. */
export const DISPATCH_BATCH_MAX = 32;

export interface Dispatched {
  readonly job: JobRow;
  /** Resume from here; null starts anew. */
  readonly checkpoint: StoredCheckpoint | null;
}

export interface DispatchOutcome {
  readonly dispatched: readonly Dispatched[];
  /** Their jobs moved on; mail says where to. */
  readonly refused: readonly VideoId[];
  /** Their jobs still wait, their devices are held: by a lease that the scheduler could not place, after a takeover. */
  readonly held: readonly VideoId[];
}

/** `clock`: where the batch leaves the fair order. */
export function dispatch(
  sql: Sql,
  leaderEpoch: number,
  batch: readonly Dispatch[],
  clock: FairClock,
): Promise<DispatchOutcome> {
  return inTransaction(sql, async (tx) => {
    await assertLeader(tx, leaderEpoch);
    const dispatched: Dispatched[] = [];
    const refused: VideoId[] = [];
    const held: VideoId[] = [];
    const firstStarts: JobRow[] = [];
    for (const placement of batch) {
      const job = await markStarting(tx, placement, LEASE_MS);
      if (job === "moved" || job === "held") {
        (job === "held" ? held : refused).push(placement.job);
        continue;
      }
      const [checkpoint = null] = await checkpointsOf(tx, job.id);
      await openAttempt(tx, job, checkpoint?.step ?? 0);
      dispatched.push({ job, checkpoint });
      if (job.attempts === 1) firstStarts.push(job);
    }
    await saveClock(tx, clock);
    // Counters last, in ascending account order, so that two writers of events never wait for each other in a ring.
    for (const job of firstStarts.toSorted((a, b) => (a.accountId < b.accountId ? -1 : 1))) {
      await appendEvent(tx, { account: job.accountId, type: "video.in_progress", data: eventDataOf(job, null) });
    }
    return { dispatched, refused, held };
  });
}
