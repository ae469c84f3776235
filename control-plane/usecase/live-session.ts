/** Live sessions at the edge: which accounts are pushed to, and how far. */
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
