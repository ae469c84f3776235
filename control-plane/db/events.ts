/** The account's event log, its counter, and the webhook outbox that is filled with it. */
import type { Happening } from "#protocol/event.ts";
import { Event, videoOfEvent } from "#protocol/event.ts";
import type { AccountId } from "#protocol/id.ts";
import type { Sql, Transaction } from "./connect.ts";

export type NewEvent = { readonly account: AccountId } & Happening;

/** How an event is told: endpoints that know only `video.failed` get a cancellation as that. */
export const TOLD = `case when appended.type = any (endpoint.events) then appended.type::text else 'video.failed' end`;

/** The envelope that a webhook carries, of a row of the log and how it is `told`. */
export const DELIVERY_BODY = `jsonb_build_object(
        'id', id, 'object', 'event', 'type', told,
        'created_at', extract(epoch from created_at)::bigint,
        'timestamp', to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
        'sequence_number', sequence_number, 'data', data
      )::text`;

/**
 * The statement that appends what `told (account_id, type, job_id, data)` has, one row or none, and its webhook deliveries: to
 * the account's endpoints, and to the one that the video named when it was made.
 */
export const APPEND_TOLD = `
    counter as (
      insert into event_counter (account_id, last) select account_id, 1 from told
      on conflict (account_id) do update set last = event_counter.last + 1
      returning last
    ),
    appended as (
      insert into event (account_id, sequence_number, id, type, job_id, data)
      select account_id, last, 'evt_' || replace(uuidv7()::text, '-', ''), type, job_id, data from told, counter
      returning *
    ),
    delivery as (
      select endpoint.id as endpoint_id, ${TOLD} as told, appended.*
      from appended
      left join video_webhook v on v.job_id = appended.job_id
      join webhook_endpoint endpoint on endpoint.account_id = appended.account_id and endpoint.enabled
        and (endpoint.scope = 'account' or endpoint.id = v.endpoint_id)
      where appended.type = any (endpoint.events)
        or (appended.type = 'video.cancelled' and 'video.failed' = any (endpoint.events))
    ),
    posted as (
      insert into webhook_delivery (id, account_id, endpoint_id, sequence_number, body)
      select 'msg_' || replace(uuidv7()::text, '-', ''), account_id, endpoint_id, sequence_number, ${DELIVERY_BODY}
      from delivery
    ),
    woken as (
      update webhook_endpoint e set due_at = least(e.due_at, greatest(now(), e.rested_until))
      from delivery where e.id = delivery.endpoint_id and e.enabled
    )`;

/**
 * Appends one event and its webhook deliveries. Call it last in a transaction: the counter's row stays locked until
 * commit, which is what makes numbers gap-free and ordered as committed.
 */
export async function appendEvent(tx: Transaction, event: NewEvent): Promise<void> {
  await tx`
    with told as (
      select ${event.account}::text as account_id, ${event.type}::event_type as type, ${videoOfEvent(event)}::text as job_id,
        ${tx.json(event.data)}::jsonb as data
    ),
    ${tx.unsafe(APPEND_TOLD)}
    select 1`;
}

interface EventRow {
  readonly id: string;
  readonly type: Happening["type"];
  readonly sequenceNumber: number;
  readonly createdAt: Date;
  readonly data: Happening["data"];
}

/** Events after `after`, in order, at most `limit`. */
export async function eventsAfter(
  sql: Sql,
  account: AccountId,
  after: number,
  limit: number,
): Promise<readonly Event[]> {
  const rows = await sql<EventRow[]>`
    select id, type, sequence_number, created_at, data from event
    where account_id = ${account} and sequence_number > ${after}
    order by sequence_number limit ${limit}`;
  return rows.map((row) =>
    Event.parse({
      id: row.id,
      object: "event",
      type: row.type,
      created_at: Math.floor(row.createdAt.getTime() / 1_000),
      timestamp: row.createdAt.toISOString(),
      sequence_number: row.sequenceNumber,
      data: row.data,
    }),
  );
}

export async function lastSequenceNumber(sql: Sql | Transaction, account: AccountId): Promise<number> {
  const [row] = await sql<{ last: number }[]>`select last from event_counter where account_id = ${account}`;
  return row?.last ?? 0;
}

/** Who appends after locking rows that appending locks too takes the counter first, as every writer of events does. */
export async function lockCounter(tx: Transaction, account: AccountId): Promise<void> {
  await tx`select 1 from event_counter where account_id = ${account} for update`;
}

/** Starts or renews the account's live subscription; a new one is sent only what happens from now on. */
export async function subscribe(tx: Transaction, account: AccountId, leaseMs: number): Promise<void> {
  await tx`
    insert into edge_subscription (account_id, sent_through, expires_at)
    values (
      ${account},
      coalesce((select last from event_counter where account_id = ${account}), 0),
      now() + make_interval(secs => ${leaseMs / 1_000})
    )
    on conflict (account_id) do update set
      sent_through = case
        when edge_subscription.expires_at > now() then edge_subscription.sent_through else excluded.sent_through end,
      expires_at = excluded.expires_at`;
}

export async function unsubscribe(sql: Sql | Transaction, account: AccountId): Promise<void> {
  await sql`delete from edge_subscription where account_id = ${account}`;
}

/** Ends the subscription as it was seen: one that was renewed since has a listener again, and stays. */
export async function endSeenSubscription(sql: Sql, account: AccountId, expiresAt: Date): Promise<void> {
  await sql`
    delete from edge_subscription
    where account_id = ${account} and date_trunc('milliseconds', expires_at) = ${expiresAt}`;
}

export interface Subscription {
  readonly accountId: AccountId;
  readonly expiresAt: Date;
  readonly sentThrough: number;
  readonly last: number;
}

export async function liveSubscriptions(sql: Sql): Promise<readonly Subscription[]> {
  return sql<Subscription[]>`
    select s.account_id, s.expires_at, s.sent_through, coalesce(c.last, 0) as last
    from edge_subscription s left join event_counter c on c.account_id = s.account_id
    where s.expires_at > now()
    order by s.account_id`;
}

export async function markSent(sql: Sql, account: AccountId, through: number): Promise<void> {
  await sql`
    update edge_subscription set sent_through = greatest(sent_through, ${through}) where account_id = ${account}`;
}
