/** What a live session starts with: where an account's videos stand, beside how far its log reaches. */
import type { Sql } from "#control-plane/db/connect.ts";
import { lastSequenceNumber } from "#control-plane/db/events.ts";
import { unfinishedVideos, videosByIds } from "#control-plane/db/jobs.ts";
import type { JobRow } from "#control-plane/db/jobs.ts";
import type { AccountId, VideoId } from "#protocol/id.ts";
import { SNAPSHOT_VIDEOS_MAX } from "#protocol/live-session.ts";

export interface Snapshot {
  readonly last: number;
  readonly videos: readonly JobRow[];
  readonly hasMore: boolean;
}

/** Where the account's unfinished videos, or those with these ids, stand. */
export async function readSnapshot(sql: Sql, account: AccountId, ids: readonly VideoId[] | null): Promise<Snapshot> {
  // The number first: whatever is written meanwhile the videos may show, and the log after the number tells.
  const last = await lastSequenceNumber(sql, account);
  const videos =
    ids === null ? await unfinishedVideos(sql, account, SNAPSHOT_VIDEOS_MAX + 1) : await videosByIds(sql, account, ids);
  return { last, videos: videos.slice(0, SNAPSHOT_VIDEOS_MAX), hasMore: videos.length > SNAPSHOT_VIDEOS_MAX };
}
