/** What a user may do to a video after its submit: cancel it, delete it. Both are idempotent. */
import { PHASE_OF } from "#control-plane/core/job.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import { findVideo, markDeleted } from "#control-plane/db/jobs.ts";
import type { JobRow, JobWithUsage } from "#control-plane/db/jobs.ts";
import { inTransaction } from "#control-plane/db/transaction.ts";
import type { AccountId, VideoId } from "#protocol/id.ts";
import { moveJobIn } from "./move-job.ts";

/** The video after the request; null if the account has no such video. A finished one is left as it is. */
export function cancelVideo(sql: Sql, account: AccountId, id: VideoId): Promise<JobWithUsage | null> {
  return inTransaction(sql, async (tx) => {
    await moveJobIn(
      tx,
      id,
      { kind: "cancel_requested" },
      {
        guard: (job) => job.accountId === account && job.deletedAt === null,
      },
    );
    return findVideo(tx, account, id);
  });
}

/** Cancels what still runs, then hides the video; null if the account has no such video. */
export function deleteVideo(sql: Sql, account: AccountId, id: VideoId): Promise<JobWithUsage | null> {
  return inTransaction(sql, async (tx) => {
    const video = await findVideo(tx, account, id);
    if (video === null) return null;
    if (PHASE_OF[video.job.state] !== "ended") {
      const guard = (job: JobRow) => job.accountId === account;
      await moveJobIn(tx, id, { kind: "cancel_requested" }, { guard });
    }
    await markDeleted(tx, account, id);
    return video;
  });
}
