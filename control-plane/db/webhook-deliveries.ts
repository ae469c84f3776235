/** The webhook outbox: claim what is due, record what came of it. */
import type { Sql } from "./connect.ts";

export interface Delivery {
  readonly id: string;
  readonly endpointId: string;
  readonly url: string;
  readonly secret: string;
  readonly body: string;
  /** This try included. */
  readonly tries: number;
}

/** Claims due deliveries by moving their next try past `leaseMs`: if this process dies, they are tried again then. */
export async function claimDeliveries(sql: Sql, limit: number, leaseMs: number): Promise<readonly Delivery[]> {
  return sql<Delivery[]>`
    with due as (
      select id from webhook_delivery where next_at <= now()
      order by next_at limit ${limit} for update skip locked
    )
    update webhook_delivery d set tries = tries + 1, next_at = now() + make_interval(secs => ${leaseMs / 1_000})
    from due, webhook_endpoint e
    where d.id = due.id and e.id = d.endpoint_id
    returning d.id, d.endpoint_id, e.url, e.secret, d.body, d.tries`;
}

export interface TryRecord {
  readonly status: number | null;
  readonly error: string | null;
}

export async function markDelivered(sql: Sql, id: string, record: TryRecord): Promise<void> {
  await sql`
    update webhook_delivery
    set delivered_at = now(), next_at = null, last_status = ${record.status}, last_error = null
    where id = ${id}`;
}

/** `delayMs` null gives up. */
export async function markFailedTry(sql: Sql, id: string, record: TryRecord, delayMs: number | null): Promise<void> {
  await sql`
    update webhook_delivery set last_status = ${record.status}, last_error = ${record.error},
      next_at = ${delayMs === null ? null : sql`now() + make_interval(secs => ${delayMs / 1_000})`}
    where id = ${id}`;
}

/** The endpoint gets nothing more, pending deliveries included. */
export async function disableEndpoint(sql: Sql, endpointId: string): Promise<void> {
  await sql`
    with off as (update webhook_endpoint set enabled = false where id = ${endpointId})
    update webhook_delivery set next_at = null where endpoint_id = ${endpointId} and next_at is not null`;
}
