/**
 * Frees the store of checkpoints that nobody will resume from: the file first, then its row. A promote that begins in between,
 * at the end of its draft's time, finds no file and does the draft's steps again.
 */
import type { Sql } from "#control-plane/db/connect.ts";
import { doneCheckpoints, forgetCheckpoint, isCheckpointShared } from "#control-plane/db/leases.ts";
import type { ArtifactStore } from "#control-plane/store/artifact-store.ts";

const SWEEP_BATCH_MAX = 100;

export async function sweepCheckpoints(sql: Sql, store: ArtifactStore): Promise<void> {
  for (const checkpoint of await doneCheckpoints(sql, SWEEP_BATCH_MAX)) {
    if (!(await isCheckpointShared(sql, checkpoint))) await store.remove(checkpoint.storeKey);
    await forgetCheckpoint(sql, checkpoint);
  }
}
