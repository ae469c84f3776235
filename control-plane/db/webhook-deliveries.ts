/**
 * The webhook outbox: claim what is due, record what came of it.
 *
 * An endpoint's `due_at` says when it is next looked at. It is never later than there is something to do: whoever adds work or
 * ends a try lowers it, and only the claim raises it, under the endpoint's lock and with a snapshot taken under that lock.
 */
import type { AfterFailure, Failing } from "#control-plane/core/webhook-breaker.ts";
import type { Secrets } from "#control-plane/core/webhook-secret.ts";
import type { AccountId } from "#protocol/id.ts";
import type { DisabledReason } from "#protocol/event.ts";
import type { Sql, Transaction } from "./connect.ts";

/** Lowers `due_at` of endpoint `e` to now, or to the end of its rest. */
export const WAKE_ENDPOINT = "due_at = least(e.due_at, greatest(now(), e.rested_until))";

export interface ClaimLimits {
  readonly endpointsMax: number;
  /** Of one account in one claim. */
  readonly endpointsPerAccountMax: number;
  /** Candidates that are looked at to choose fairly among accounts. */
  readonly candidatesMax: number;
  /** Tries at once of an endpoint whose last one was answered well; any other endpoint has one. */
  readonly perEndpointMax: number;
  readonly leaseMs: number;
  /** Accounts that have enough under way. */
  readonly fullAccounts: readonly AccountId[];
  /** Whether endpoints that have not proven themselves may be tried now. */
  readonly unproven: boolean;
}

/** Locks the endpoints that are due: accounts take turns, each with what has waited longest. */
export async function lockDueEndpoints(tx: Transaction, limits: ClaimLimits): Promise<readonly string[]> {
  const rows = await tx<{ id: string }[]>`
    with head as (
      select id, account_id, due_at from webhook_endpoint
      where due_at <= now() and account_id <> all (${limits.fullAccounts})
        ${limits.unproven ? tx`` : tx`and failures = 0 and delivered_at is not null`}
      order by due_at limit ${limits.candidatesMax}
    ),
    candidate as (select id, due_at, row_number() over (partition by account_id order by due_at, id) as turn from head)
    select e.id from webhook_endpoint e join candidate c on c.id = e.id
    where e.due_at <= now() and c.turn <= ${limits.endpointsPerAccountMax}
    order by c.turn, c.due_at limit ${limits.endpointsMax}
    for update of e skip locked`;
  return rows.map(({ id }) => id);
}

export interface Claimed {
  readonly id: string;
  readonly endpointId: string;
  readonly accountId: AccountId;
  readonly url: string;
  readonly secrets: Secrets;
  readonly body: string;
  /** This try included. */
  readonly tries: number;
  /** It has not answered well since it was made or last failed. */
  readonly unproven: boolean;
}

type ClaimedRow = Omit<Claimed, "secrets"> & Secrets;

/**
 * Claims what these endpoints, locked by this transaction, may try now, and notes when to look at them next. A claim moves the
 * next try to its own end: if this process dies, another tries again then.
 */
export async function claimDeliveries(
  tx: Transaction,
  endpoints: readonly string[],
  { perEndpointMax, leaseMs }: ClaimLimits,
): Promise<readonly Claimed[]> {
  const rows = await tx<ClaimedRow[]>`
    with endpoint as (
      select e.id, e.account_id, e.url, coalesce(e.secret, s.secret) as secret,
        case when e.secret is null then s.retiring else e.retiring end as retiring,
        e.failures > 0 or e.delivered_at is null as unproven,
        greatest(0, case when e.rested_until > now() then 0 when e.failures > 0 or e.delivered_at is null then 1 else ${perEndpointMax}::int end
          - (select count(*)::int from webhook_delivery d
              where d.endpoint_id = e.id and d.claimed_at is not null and d.next_at > now())) as free
      from webhook_endpoint e left join webhook_secret s on s.account_id = e.account_id
      where e.id = any (${endpoints})
    ),
    due as (
      select endpoint.id as endpoint_id, d.id from endpoint cross join lateral (
        select id from webhook_delivery
        where endpoint_id = endpoint.id and next_at <= now()
        order by next_at, id limit endpoint.free
      ) d
    ),
    claimed as (
      update webhook_delivery d set tries = tries + 1, claimed_at = now(), tried_at = now(),
        next_at = now() + make_interval(secs => ${leaseMs / 1_000})
      from due where d.id = due.id
      returning d.id, d.endpoint_id, d.body, d.tries
    ),
    looked_at as (
      select endpoint.id, endpoint.free, taken, (
        select next_at from webhook_delivery where endpoint_id = endpoint.id and next_at is not null
        order by next_at, id offset taken limit 1
      ) as following
      from endpoint, lateral (select count(*)::int as taken from due where due.endpoint_id = endpoint.id) t
    ),
    put_off as (
      update webhook_endpoint e set due_at = greatest(e.rested_until, case
        when free = taken then now() + make_interval(secs => ${leaseMs / 1_000})
        when taken > 0 then least(following, now() + make_interval(secs => ${leaseMs / 1_000}))
        else following end)
      from looked_at where looked_at.id = e.id
    )
    select claimed.*, account_id, url, secret, retiring, unproven
    from claimed join endpoint on endpoint.id = claimed.endpoint_id`;
  return rows.map(({ secret, retiring, ...row }) => ({ ...row, secrets: { secret, retiring } }));
}

export interface TryRecord {
  readonly status: number | null;
  readonly error: string | null;
  readonly ms: number;
}

/** The endpoint is proven: its failures are forgotten. A claim that was lost to time changes nothing of the delivery. */
export async function markDelivered(sql: Sql, { id, tries, endpointId }: Claimed, record: TryRecord): Promise<void> {
  await sql`
    with done as (
      update webhook_delivery set delivered_at = now(), next_at = null, claimed_at = null,
        last_status = ${record.status}, last_error = null, last_ms = ${record.ms}
      where id = ${id} and tries = ${tries}
    )
    update webhook_endpoint e set failures = 0, failing_since = null, rested_until = null, delivered_at = now(),
      due_at = least(e.due_at, now())
    where id = ${endpointId} and enabled`;
}

export interface EndpointState extends Failing {
  readonly nowMs: number;
}

/** Null if it is gone or disabled. */
export async function lockEndpointState(tx: Transaction, id: string): Promise<EndpointState | null> {
  const [row] = await tx<{ failures: number; failingSince: Date | null; now: Date }[]>`
    select failures, failing_since, clock_timestamp() as now from webhook_endpoint
    where id = ${id} and enabled for update`;
  if (row === undefined) return null;
  return { failures: row.failures, failingSinceMs: row.failingSince?.getTime() ?? null, nowMs: row.now.getTime() };
}

/** `delayMs` null gives up. */
export async function markFailedTry(
  tx: Transaction,
  { id, tries }: Claimed,
  record: TryRecord,
  delayMs: number | null,
): Promise<void> {
  await tx`
    update webhook_delivery set claimed_at = null, last_status = ${record.status}, last_error = ${record.error},
      last_ms = ${record.ms}, next_at = ${delayMs === null ? null : tx`now() + make_interval(secs => ${delayMs / 1_000})`}
    where id = ${id} and tries = ${tries} and claimed_at is not null`;
}

export async function saveFailure(
  tx: Transaction,
  endpointId: string,
  after: Exclude<AfterFailure, { kind: "disabled" }>,
): Promise<void> {
  const rest =
    after.kind === "rests" ? tx`(now() + make_interval(secs => ${after.restMs / 1_000}))` : tx`null::timestamptz`;
  await tx`
    update webhook_endpoint e set failures = ${after.failures}, failing_since = ${new Date(after.failingSinceMs)},
      rested_until = greatest(e.rested_until, ${rest}),
      due_at = greatest(now(), e.rested_until, ${rest})
    where id = ${endpointId}`;
}

/** The try was broken off by us: it counts for nothing, and any replica makes it again at once. */
export async function releaseDelivery(sql: Sql, { id, tries, endpointId }: Claimed): Promise<void> {
  await sql`
    with released as (
      update webhook_delivery set tries = tries - 1, claimed_at = null, next_at = now()
      where id = ${id} and tries = ${tries} and claimed_at is not null
    )
    update webhook_endpoint e set ${sql.unsafe(WAKE_ENDPOINT)} where id = ${endpointId} and enabled`;
}

/** The endpoint gets nothing more: what waits for it is given up, and a replay can bring it back. Null if it was disabled before. */
export async function disableEndpoint(
  tx: Transaction,
  endpointId: string,
  reason: DisabledReason,
): Promise<{ readonly url: string } | null> {
  const [row] = await tx<{ url: string }[]>`
    with off as (
      update webhook_endpoint set enabled = false, disabled_reason = ${reason}, rested_until = null, due_at = null
      where id = ${endpointId} and enabled returning id, url
    ),
    given_up as (
      update webhook_delivery d set next_at = null, claimed_at = null from off
      where d.endpoint_id = off.id and d.next_at is not null
    )
    select url from off`;
  return row ?? null;
}
