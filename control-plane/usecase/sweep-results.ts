/**
 * Takes results out of the store that nobody may see, or nobody may see any more: withheld ones, and those of videos that were deleted or
 * are past their tier's `keep_video_hours`. The file goes first, then what the video knows of it: a crash between the two is done again.
 */
import type { Sql } from "#control-plane/db/connect.ts";
import { forgetResult, goneResults, markResultRemoved, withheldResults } from "#control-plane/db/jobs.ts";
import type { ArtifactStore } from "#control-plane/store/artifact-store.ts";

const SWEEP_BATCH_MAX = 100;

export async function sweepResults(sql: Sql, store: ArtifactStore): Promise<void> {
  for (const result of await withheldResults(sql, SWEEP_BATCH_MAX)) {
    await store.remove(result.artifactKey);
    await forgetResult(sql, result);
  }
  for (const result of await goneResults(sql, SWEEP_BATCH_MAX)) {
    await store.remove(result.artifactKey);
    await markResultRemoved(sql, result);
  }
}
