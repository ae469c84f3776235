/** As `control-plane/db/events.ts`, without webhooks. */
import type { NewEvent, Subscription } from "#control-plane/db/events.ts";
import type { Sql, Transaction } from "#control-plane/db/connect.ts";
import type { Event, Happening } from "#protocol/event.ts";
import type { AccountId } from "#protocol/id.ts";
import { EventId } from "#protocol/id.ts";
import { statement } from "../postgres/client.ts";
import { freshId, tables } from "../postgres/here.ts";
import type { Tx } from "../postgres/tx.ts";

/** Numbers and writes an event; the counter's row stays locked until commit. */
export function append(on: Tx, account: AccountId, happening: Happening): void {
  const { counter, event } = tables();
  on.lock(counter, account);
  const last = (on.get(counter, account) ?? 0) + 1;
  on.put(counter, account, last);
  on.insert(event, `${account}/${last}`, {
    accountId: account,
    sequenceNumber: last,
    id: `evt_${freshId()}`,
    happening,
    createdAt: on.now,
  });
}

export function appendEvent(tx: Transaction, { account, ...happening }: NewEvent): Promise<void> {
  return statement(tx, "appendEvent", (on) => append(on, account, happening));
}

export function eventsAfter(sql: Sql, account: AccountId, after: number, limit: number): Promise<readonly Event[]> {
  return statement(sql, "eventsAfter", (on) => {
    const events: Event[] = [];
    for (let number = after + 1; events.length < limit; number++) {
      const row = on.get(tables().event, `${account}/${number}`);
      if (row === null) break;
      const at = row.createdAt;
      const envelope = {
        object: "event",
        created_at: Math.floor(at.getTime() / 1_000),
        timestamp: at.toISOString(),
      } as const;
      events.push({ id: EventId.parse(row.id), ...envelope, sequence_number: number, ...row.happening });
    }
    return events;
  });
}

export function lastSequenceNumber(sql: Sql | Transaction, account: AccountId): Promise<number> {
  return statement(sql, "lastSequenceNumber", (on) => on.get(tables().counter, account) ?? 0);
}

export function subscribe(tx: Transaction, account: AccountId, leaseMs: number): Promise<void> {
  return statement(tx, "subscribe", (on) => {
    const { subscription, counter } = tables();
    on.lock(subscription, account);
    const row = on.get(subscription, account);
    const last = on.get(counter, account) ?? 0;
    on.put(subscription, account, {
      accountId: account,
      sentThrough: row !== null && row.expiresAt > on.now ? row.sentThrough : last,
      expiresAt: new Date(on.now.getTime() + leaseMs),
    });
  });
}

export function unsubscribe(sql: Sql | Transaction, account: AccountId): Promise<void> {
  return statement(sql, "unsubscribe", (on) => on.put(tables().subscription, account, null));
}

export function endSeenSubscription(sql: Sql, account: AccountId, expiresAt: Date): Promise<void> {
  return statement(sql, "endSeenSubscription", (on) => {
    const { subscription } = tables();
    on.lock(subscription, account);
    const isSeen = on.get(subscription, account)?.expiresAt.getTime() === expiresAt.getTime();
    if (isSeen) on.put(subscription, account, null);
  });
}

export function liveSubscriptions(sql: Sql): Promise<readonly Subscription[]> {
  return statement(sql, "liveSubscriptions", (on) =>
    [...on.rows(tables().subscription)]
      .filter(({ expiresAt }) => expiresAt > on.now)
      .map(({ accountId, expiresAt, sentThrough }) => ({
        accountId,
        expiresAt,
        sentThrough,
        last: on.get(tables().counter, accountId) ?? 0,
      })),
  );
}

export function markSent(sql: Sql, account: AccountId, through: number): Promise<void> {
  return statement(sql, "markSent", (on) => {
    const { subscription } = tables();
    on.lock(subscription, account);
    const row = on.get(subscription, account);
    if (row !== null) on.put(subscription, account, { ...row, sentThrough: Math.max(row.sentThrough, through) });
  });
}
