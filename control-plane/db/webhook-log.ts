/** What was and will be sent: the account's deliveries, and asking for one again, for many again, or for a test. */
import type { Event } from "#protocol/event.ts";
import type { AccountId, WebhookDeliveryId, WebhookEndpointId } from "#protocol/id.ts";
import { REPLAY_EVENTS_MAX } from "#protocol/webhook.ts";
import type { DeliveryQuery, DeliveryStatus, ReplayWebhooks } from "#protocol/webhook.ts";
import type { Sql } from "./connect.ts";
import { DELIVERY_BODY, TOLD } from "./events.ts";
import { WAKE_ENDPOINT } from "./webhook-deliveries.ts";

export interface DeliveryRow {
  readonly id: WebhookDeliveryId;
  readonly endpointId: WebhookEndpointId;
  readonly url: string;
  readonly eventId: Event["id"];
  readonly eventType: string;
  readonly sequenceNumber: number | null;
  readonly status: DeliveryStatus;
  readonly tries: number;
  readonly nextAt: Date | null;
  readonly triedAt: Date | null;
  readonly lastStatus: number | null;
  readonly lastError: string | null;
  readonly lastMs: number | null;
  readonly createdAt: Date;
  readonly deliveredAt: Date | null;
}

const STATUS = `case when d.next_at is not null then 'pending' when d.delivered_at is not null then 'delivered' else 'failed' end`;
const COLUMNS = `
  d.id, d.endpoint_id, e.url, d.body::jsonb ->> 'id' as event_id, d.body::jsonb ->> 'type' as event_type, d.sequence_number,
  ${STATUS} as status, d.tries, d.next_at, d.tried_at, d.last_status, d.last_error, d.last_ms, d.created_at, d.delivered_at`;

/** One more than asked for is read, so the caller knows whether there is more. */
export async function listDeliveries(
  sql: Sql,
  account: AccountId,
  { limit, order, after, status, webhook_endpoint_id: endpoint }: DeliveryQuery,
): Promise<readonly DeliveryRow[]> {
  const descending = order === "desc";
  return sql<DeliveryRow[]>`
    select ${sql.unsafe(COLUMNS)} from webhook_delivery d join webhook_endpoint e on e.id = d.endpoint_id
    where d.account_id = ${account}
      ${endpoint === undefined ? sql`` : sql`and d.endpoint_id = ${endpoint}`}
      ${status === undefined ? sql`` : sql`and ${sql.unsafe(STATUS)} = ${status}`}
      ${after === undefined ? sql`` : sql`and d.id ${descending ? sql`<` : sql`>`} ${after}`}
    order by d.id ${descending ? sql`desc` : sql``} limit ${limit + 1}`;
}

export async function findDelivery(sql: Sql, account: AccountId, id: WebhookDeliveryId): Promise<DeliveryRow | null> {
  const [row] = await sql<DeliveryRow[]>`
    select ${sql.unsafe(COLUMNS)} from webhook_delivery d join webhook_endpoint e on e.id = d.endpoint_id
    where d.id = ${id} and d.account_id = ${account}`;
  return row ?? null;
}

/** False if its endpoint is disabled. One that is being tried right now stays as it is; one that is over starts its schedule anew. */
export async function redeliver(sql: Sql, account: AccountId, id: WebhookDeliveryId): Promise<boolean> {
  const rows = await sql`
    with again as (
      update webhook_delivery d set next_at = now(), delivered_at = null, claimed_at = null,
        tries = case when d.next_at is null then 0 else d.tries end
      from webhook_endpoint e
      where d.id = ${id} and d.account_id = ${account} and e.id = d.endpoint_id and e.enabled and d.claimed_at is null
    )
    update webhook_endpoint e set ${sql.unsafe(WAKE_ENDPOINT)} from webhook_delivery d
    where d.id = ${id} and d.account_id = ${account} and e.id = d.endpoint_id and e.enabled
    returning 1`;
  return rows.length === 1;
}

export interface Replayed {
  readonly replayed: number;
  readonly through: number;
  readonly hasMore: boolean;
}

/**
 * Sends the endpoint what the log has for it from a place on: deliveries that are over start anew, what never was one becomes
 * one. What is pending is left alone. At most `REPLAY_EVENTS_MAX` events a call.
 */
export async function replay(
  sql: Sql,
  account: AccountId,
  id: WebhookEndpointId,
  { starting_after: after, since, status }: ReplayWebhooks,
): Promise<Replayed> {
  const [row] = await sql<Replayed[]>`
    with looked_at as (
      select * from event where account_id = ${account}
        and ${after === undefined ? sql`created_at >= to_timestamp(${since ?? 0})` : sql`sequence_number > ${after}`}
      order by sequence_number limit ${REPLAY_EVENTS_MAX}
    ),
    wanted as (
      select endpoint.id as endpoint_id, ${sql.unsafe(TOLD)} as told, appended.*
      from looked_at appended
      left join video_webhook v on v.job_id = appended.job_id and v.endpoint_id = ${id}
      join webhook_endpoint endpoint on endpoint.id = ${id} and endpoint.account_id = appended.account_id and endpoint.enabled
      where (endpoint.scope = 'account' or v.endpoint_id is not null)
        and (appended.type = any (endpoint.events)
          or (appended.type = 'video.cancelled' and 'video.failed' = any (endpoint.events)))
        and appended.data ->> 'webhook_endpoint_id' is distinct from endpoint.id
    ),
    sent as (
      insert into webhook_delivery as d (id, account_id, endpoint_id, sequence_number, body)
      select 'msg_' || replace(uuidv7()::text, '-', ''), account_id, endpoint_id, sequence_number, ${sql.unsafe(DELIVERY_BODY)}
      from wanted order by sequence_number
      on conflict (endpoint_id, sequence_number) where sequence_number is not null
      do update set next_at = now(), tries = 0, delivered_at = null
      where d.next_at is null and (${status === "any"} or d.delivered_at is null)
      returning 1
    ),
    woken as (
      update webhook_endpoint e set ${sql.unsafe(WAKE_ENDPOINT)}
      where id = ${id} and account_id = ${account} and enabled and exists (select from sent)
    ),
    seen as (select coalesce(max(sequence_number), ${after ?? 0}::int) as through from looked_at)
    select (select count(*)::int from sent) as replayed, through,
      exists (select from event where account_id = ${account} and sequence_number > through
        and (select count(*) from looked_at) > 0) as has_more
    from seen`;
  if (row === undefined) throw new Error("an aggregate has a row");
  return row;
}

/** A test at a time: if one waits, it is that. Null if the endpoint is disabled. The rest of a failing endpoint ends now. */
export async function insertTest(
  sql: Sql,
  account: AccountId,
  id: WebhookEndpointId,
): Promise<WebhookDeliveryId | null> {
  const [row] = await sql<{ id: WebhookDeliveryId }[]>`
    with woken as (
      update webhook_endpoint e set rested_until = null, due_at = least(e.due_at, now())
      where id = ${id} and account_id = ${account} and enabled
      returning id
    ),
    waiting as (
      select d.id from webhook_delivery d join woken on woken.id = d.endpoint_id
      where d.sequence_number is null and d.next_at is not null limit 1
    ),
    sent as (
      insert into webhook_delivery (id, account_id, endpoint_id, body)
      select 'msg_' || replace(uuidv7()::text, '-', ''), ${account}, woken.id, jsonb_build_object(
        'id', 'evt_' || replace(uuidv7()::text, '-', ''), 'object', 'event', 'type', 'webhook_endpoint.test',
        'created_at', extract(epoch from now())::bigint,
        'timestamp', to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
        'data', jsonb_build_object('webhook_endpoint_id', woken.id)
      )::text
      from woken where not exists (select from waiting)
      returning id
    )
    select id from sent union all select id from waiting`;
  return row?.id ?? null;
}
