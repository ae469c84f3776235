/** Live sessions at the edge: which accounts are pushed to, and how far. */
import type { Sql } from "#control-plane/db/connect.ts";
import {
  endSeenSubscription,
  eventsAfter,
  lastSequenceNumber,
  liveSubscriptions,
  markSent,
  subscribe,
  unsubscribe,
} from "#control-plane/db/events.ts";
import type { Subscription } from "#control-plane/db/events.ts";
import { inTransaction } from "#control-plane/db/transaction.ts";
import { SUBSCRIPTION_LEASE_MS } from "#protocol/edge-call.ts";
import type { Event } from "#protocol/event.ts";
import type { AccountId } from "#protocol/id.ts";

/** Starts, renews or ends the subscription; answers the last number written so far. */
export function setSubscription(sql: Sql, account: AccountId, live: boolean): Promise<number> {
  return inTransaction(sql, async (tx) => {
    await (live ? subscribe(tx, account, SUBSCRIPTION_LEASE_MS) : unsubscribe(tx, account));
    return lastSequenceNumber(tx, account);
  });
}

export type { Subscription };

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

/** The edge said that nobody listens, when the subscription was as `seen`. */
export function endSubscription(sql: Sql, seen: Subscription): Promise<void> {
  return endSeenSubscription(sql, seen.accountId, seen.expiresAt);
}
