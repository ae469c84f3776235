/** Where accounts want their events delivered, and the secrets that sign them. */
import { and, count, eq, sql } from "./drizzle.ts";
import type { Secrets } from "#control-plane/core/webhook-secret.ts";
import type { EventType } from "#protocol/event.ts";
import type { AccountId, WebhookEndpointId } from "#protocol/id.ts";
import type { UpdateWebhookEndpoint } from "#protocol/webhook.ts";
import type { Database, Transaction } from "./connect.ts";
import { webhookEndpoint } from "./schema/webhook.ts";

export type EndpointRow = typeof webhookEndpoint.$inferSelect;
type Orm = Database["orm"];

const ofAccount = (account: AccountId) =>
  and(eq(webhookEndpoint.accountId, account), eq(webhookEndpoint.scope, "account"));
const named = (account: AccountId, id: WebhookEndpointId) =>
  and(eq(webhookEndpoint.accountId, account), eq(webhookEndpoint.id, id));

export async function countEndpoints(orm: Orm, account: AccountId): Promise<number> {
  const [row] = await orm.select({ count: count() }).from(webhookEndpoint).where(ofAccount(account));
  return row?.count ?? 0;
}

export async function insertEndpoint(
  orm: Orm,
  endpoint: {
    readonly account: AccountId;
    readonly url: string;
    readonly secret: string;
    readonly events: EventType[];
  },
): Promise<EndpointRow> {
  const [row] = await orm
    .insert(webhookEndpoint)
    .values({
      id: sql`'we_' || replace(uuidv7()::text, '-', '')`,
      accountId: endpoint.account,
      url: endpoint.url,
      secret: endpoint.secret,
      events: endpoint.events,
    })
    .returning();
  if (row === undefined) throw new Error("an insert returns its row");
  return row;
}

/** Without those of videos. */
export async function endpointsOf(orm: Orm, account: AccountId): Promise<readonly EndpointRow[]> {
  return orm
    .select()
    .from(webhookEndpoint)
    .where(ofAccount(account))
    .orderBy(webhookEndpoint.createdAt, webhookEndpoint.id);
}

export async function findEndpoint(orm: Orm, account: AccountId, id: WebhookEndpointId): Promise<EndpointRow | null> {
  return (await orm.select().from(webhookEndpoint).where(named(account, id)))[0] ?? null;
}

/** False if the account has no such endpoint. Its deliveries go with it. */
export async function removeEndpoint(orm: Orm, account: AccountId, id: WebhookEndpointId): Promise<boolean> {
  const rows = await orm.delete(webhookEndpoint).where(named(account, id)).returning({ id: webhookEndpoint.id });
  return rows.length === 1;
}

/** A new address or an enabling starts it afresh: its failures are forgotten, and what is pending is looked at. */
export async function saveEndpoint(
  tx: Transaction,
  account: AccountId,
  id: WebhookEndpointId,
  { url, events, enabled }: UpdateWebhookEndpoint,
): Promise<void> {
  const afresh = url !== undefined || enabled === true;
  await tx`
    update webhook_endpoint set url = ${url ?? tx`url`},
      events = ${events === undefined ? tx`events` : tx`${events}::event_type[]`}
      ${enabled === true ? tx`, enabled = true, disabled_reason = null` : tx``}
      ${afresh ? tx`, failures = 0, failing_since = null, rested_until = null` : tx``}
      ${url === undefined ? tx`` : tx`, delivered_at = null`}
      ${enabled === true ? tx`, due_at = now()` : afresh ? tx`, due_at = case when enabled then now() end` : tx``}
    where id = ${id} and account_id = ${account}`;
}

export type LockedSecrets = Secrets & { readonly nowMs: number };

export async function lockSecrets(
  tx: Transaction,
  account: AccountId,
  id: WebhookEndpointId,
): Promise<LockedSecrets | null> {
  const [row] = await tx<(Secrets & { readonly now: Date })[]>`
    select secret, retiring, clock_timestamp() as now from webhook_endpoint
    where id = ${id} and account_id = ${account} and scope = 'account' for update`;
  return row === undefined ? null : { secret: row.secret, retiring: row.retiring, nowMs: row.now.getTime() };
}

export async function saveSecrets(
  tx: Transaction,
  id: WebhookEndpointId,
  { secret, retiring }: Secrets,
): Promise<void> {
  await tx`update webhook_endpoint set secret = ${secret}, retiring = ${tx.json([...retiring] as never)} where id = ${id}`;
}

/** The account's own secret; `fresh` becomes it if there is none. */
export async function lockAccountSecrets(tx: Transaction, account: AccountId, fresh: string): Promise<LockedSecrets> {
  await tx`insert into webhook_secret (account_id, secret) values (${account}, ${fresh}) on conflict do nothing`;
  const [row] = await tx<(Secrets & { readonly now: Date })[]>`
    select secret, retiring, clock_timestamp() as now from webhook_secret where account_id = ${account} for update`;
  if (row === undefined) throw new Error("an account has one secret");
  return { secret: row.secret, retiring: row.retiring, nowMs: row.now.getTime() };
}

export async function saveAccountSecrets(
  tx: Transaction,
  account: AccountId,
  { secret, retiring }: Secrets,
): Promise<void> {
  await tx`
    update webhook_secret set secret = ${secret}, retiring = ${tx.json([...retiring] as never)}, created_at = now()
    where account_id = ${account}`;
}
