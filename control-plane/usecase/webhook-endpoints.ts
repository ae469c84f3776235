/** An account's webhook endpoints: create (the secret is shown this once), read, change, rotate the secret, delete. */
import { rotated } from "#control-plane/core/webhook-secret.ts";
import type { Database } from "#control-plane/db/connect.ts";
import { inTransaction } from "#control-plane/db/transaction.ts";
import { disableEndpoint } from "#control-plane/db/webhook-deliveries.ts";
import {
  countEndpoints,
  endpointsOf,
  findEndpoint,
  insertEndpoint,
  lockAccountSecrets,
  lockSecrets,
  removeEndpoint,
  saveAccountSecrets,
  saveEndpoint,
  saveSecrets,
} from "#control-plane/db/webhook-endpoints.ts";
import type { EndpointRow } from "#control-plane/db/webhook-endpoints.ts";
import type { Refusal } from "#protocol/error.ts";
import { WebhookEndpointId } from "#protocol/id.ts";
import type { AccountId } from "#protocol/id.ts";
import { WEBHOOK_DEFAULT_EVENTS, WEBHOOK_ENDPOINTS_MAX } from "#protocol/webhook.ts";
import type {
  CreateWebhookEndpoint,
  RotateSecret,
  UpdateWebhookEndpoint,
  WebhookEndpoint,
  WebhookSecret,
} from "#protocol/webhook.ts";

export const NO_ENDPOINT: Refusal = { code: "not_found", message: "No such webhook endpoint." };

export async function createEndpoint(
  { orm }: Database,
  account: AccountId,
  wanted: CreateWebhookEndpoint,
  secret: string,
): Promise<WebhookEndpoint | Refusal> {
  if ((await countEndpoints(orm, account)) >= WEBHOOK_ENDPOINTS_MAX) {
    const message = `An account has at most ${WEBHOOK_ENDPOINTS_MAX} webhook endpoints.`;
    return { code: "invalid_value", param: "url", message };
  }
  const events = wanted.events ?? [...WEBHOOK_DEFAULT_EVENTS];
  const row = await insertEndpoint(orm, { account, url: wanted.url, secret, events });
  return { ...viewOf(row), secret };
}

export async function listEndpoints({ orm }: Database, account: AccountId): Promise<readonly WebhookEndpoint[]> {
  return (await endpointsOf(orm, account)).map(viewOf);
}

export async function readEndpoint(
  { orm }: Database,
  account: AccountId,
  id: WebhookEndpointId,
): Promise<WebhookEndpoint | Refusal> {
  const row = await findEndpoint(orm, account, id);
  return row === null ? NO_ENDPOINT : viewOf(row);
}

export async function updateEndpoint(
  database: Database,
  account: AccountId,
  id: WebhookEndpointId,
  wanted: UpdateWebhookEndpoint,
): Promise<WebhookEndpoint | Refusal> {
  const before = await findEndpoint(database.orm, account, id);
  if (before === null) return NO_ENDPOINT;
  const fixed = before.scope === "videos" ? (["url", "events"] as const).find((field) => wanted[field]) : undefined;
  if (fixed !== undefined) {
    const message = `'${fixed}' of an endpoint that videos named cannot change.`;
    return { code: "invalid_value", param: fixed, message };
  }
  await inTransaction(database.sql, async (tx) => {
    await saveEndpoint(tx, account, id, wanted);
    if (wanted.enabled === false) await disableEndpoint(tx, id, "by_account");
  });
  return readEndpoint(database, account, id);
}

export async function rotateSecret(
  database: Database,
  account: AccountId,
  id: WebhookEndpointId,
  { overlap_seconds: overlapS }: RotateSecret,
  fresh: string,
): Promise<WebhookEndpoint | Refusal> {
  const row = await findEndpoint(database.orm, account, id);
  if (row === null) return NO_ENDPOINT;
  if (row.scope === "videos") {
    const message =
      "Its webhooks are signed with the account's secret: rotate that with POST /v1/webhook_secret/rotate.";
    return { code: "unsupported_operation", message };
  }
  const known = await inTransaction(database.sql, async (tx) => {
    const before = await lockSecrets(tx, account, id);
    if (before !== null) await saveSecrets(tx, id, rotated(before, fresh, overlapS * 1_000, before.nowMs));
    return before !== null;
  });
  return known ? { ...viewOf(row), secret: fresh } : NO_ENDPOINT;
}

/** The account's secret signs what goes to the `webhook_url` of its videos. */
export function rotateAccountSecret(
  { sql }: Database,
  account: AccountId,
  { overlap_seconds: overlapS }: RotateSecret,
  fresh: string,
): Promise<WebhookSecret> {
  return inTransaction(sql, async (tx) => {
    const before = await lockAccountSecrets(tx, account, fresh);
    if (before.secret !== fresh) {
      await saveAccountSecrets(tx, account, rotated(before, fresh, overlapS * 1_000, before.nowMs));
    }
    const until = Math.floor(before.nowMs / 1_000) + overlapS;
    return { object: "webhook_secret", secret: fresh, old_secrets_expire_at: until };
  });
}

export function deleteEndpoint({ orm }: Database, account: AccountId, id: WebhookEndpointId): Promise<boolean> {
  return removeEndpoint(orm, account, id);
}

function viewOf(row: EndpointRow): WebhookEndpoint {
  const resting = row.restedUntil !== null && row.restedUntil.getTime() > Date.now();
  return {
    id: WebhookEndpointId.parse(row.id),
    object: "webhook_endpoint",
    scope: row.scope,
    url: row.url,
    events: row.events,
    enabled: row.enabled,
    disabled_reason: row.disabledReason,
    failing_since: secondsOf(row.failingSince),
    rested_until: resting ? secondsOf(row.restedUntil) : null,
    last_delivered_at: secondsOf(row.deliveredAt),
    created_at: Math.floor(row.createdAt.getTime() / 1_000),
  };
}

function secondsOf(moment: Date | null): number | null {
  return moment === null ? null : Math.floor(moment.getTime() / 1_000);
}
