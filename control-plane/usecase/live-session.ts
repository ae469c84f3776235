/** Live sessions at the edge: which accounts are pushed to, how far, and what a session starts with. */
import type { Sql } from "#control-plane/db/connect.ts";
import {
  eventsAfter,
  lastSequenceNumber,
  liveSubscriptions,
  markSent,
  subscribe,
  unsubscribe,
} from "#control-plane/db/events.ts";
import type { Subscription } from "#control-plane/db/events.ts";
import { unfinishedVideos, videosByIds } from "#control-plane/db/jobs.ts";
import type { JobRow } from "#control-plane/db/jobs.ts";
import { inTransaction } from "#control-plane/db/transaction.ts";
import { SUBSCRIPTION_LEASE_MS } from "#protocol/edge-call.ts";
import type { Event } from "#protocol/event.ts";
import type { AccountId, VideoId } from "#protocol/id.ts";
import { SNAPSHOT_VIDEOS_MAX } from "#protocol/live-session.ts";

/** Starts, renews or ends the subscription; answers the last number written so far. */
export function setSubscription(sql: Sql, account: AccountId, live: boolean): Promise<number> {
  return inTransaction(sql, async (tx) => {
    await (live ? subscribe(tx, account, SUBSCRIPTION_LEASE_MS) : unsubscribe(tx, account));
    return lastSequenceNumber(tx, account);
  });
}

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

export function subscriptions(sql: Sql): Promise<readonly Subscription[]> {
  return liveSubscriptions(sql);
}

export function unsentEvents(
  sql: Sql,
  account: AccountId,
  sentThrough: number,
  limit: number,
): Promise<readonly Event[]> {
  return eventsAfter(sql, account, sentThrough, limit);
}

export function recordSent(sql: Sql, account: AccountId, through: number): Promise<void> {
  return markSent(sql, account, through);
}

export function endSubscription(sql: Sql, account: AccountId): Promise<void> {
  return unsubscribe(sql, account);
}
