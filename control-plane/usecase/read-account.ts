/** What an account may read: its key's limits, its videos, its events. Nothing here changes state. */
import type { Sql } from "#control-plane/db/connect.ts";
import { liveKey } from "#control-plane/db/accounts.ts";
import { eventsAfter } from "#control-plane/db/events.ts";
import { findVideo, listVideos } from "#control-plane/db/jobs.ts";
import type { JobWithUsage } from "#control-plane/db/jobs.ts";
import { holdUsageOf } from "#control-plane/db/ledger-read.ts";
import type { HoldUsage } from "#control-plane/db/ledger-read.ts";
import type { EventPage, KeyAnswer } from "#protocol/edge-call.ts";
import { EVENT_PAGE_MAX } from "#protocol/edge-call.ts";
import type { AccountId, Sha256Hex, VideoId } from "#protocol/id.ts";
import { invariant } from "#protocol/invariant.ts";
import type { ListQuery } from "#protocol/video.ts";

export async function checkKey(sql: Sql, account: AccountId, keySha256: Sha256Hex): Promise<KeyAnswer | null> {
  const key = await liveKey(sql, account, keySha256);
  return key === null ? null : { key_id: key.id, limits: key.limits };
}

export function readVideo(sql: Sql, account: AccountId, id: VideoId): Promise<JobWithUsage | null> {
  return findVideo(sql, account, id);
}

/** What an admitted job reserved, deleted or not. */
export async function readUsage(sql: Sql, id: VideoId): Promise<HoldUsage> {
  const usage = (await holdUsageOf(sql, [id])).get(id);
  invariant(usage !== undefined, "a job is admitted with its hold");
  return usage;
}

export async function readVideos(sql: Sql, account: AccountId, query: ListQuery) {
  const rows = await listVideos(sql, account, query);
  return { page: rows.slice(0, query.limit), hasMore: rows.length > query.limit };
}

export async function readEvents(sql: Sql, account: AccountId, after: number, limit: number): Promise<EventPage> {
  const size = Math.min(limit, EVENT_PAGE_MAX);
  const events = await eventsAfter(sql, account, after, size + 1);
  return { events: events.slice(0, size), has_more: events.length > size };
}
