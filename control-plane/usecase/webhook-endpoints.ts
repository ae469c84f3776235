/** An account's webhook endpoints: create (the secret is shown this once), list, delete. */
import type { Database } from "#control-plane/db/connect.ts";
import { countEndpoints, endpointsOf, insertEndpoint, removeEndpoint } from "#control-plane/db/webhook-endpoints.ts";
import type { EndpointRow } from "#control-plane/db/webhook-endpoints.ts";
import type { Refusal } from "#protocol/error.ts";
import type { AccountId } from "#protocol/id.ts";
import { WEBHOOK_DEFAULT_EVENTS, WEBHOOK_ENDPOINTS_MAX } from "#protocol/webhook.ts";
import type { CreateWebhookEndpoint, WebhookEndpoint } from "#protocol/webhook.ts";

type Orm = Database["orm"];

export async function createEndpoint(
  orm: Orm,
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

export async function listEndpoints(orm: Orm, account: AccountId): Promise<readonly WebhookEndpoint[]> {
  return (await endpointsOf(orm, account)).map(viewOf);
}

export function deleteEndpoint(orm: Orm, account: AccountId, id: string): Promise<boolean> {
  return removeEndpoint(orm, account, id);
}

function viewOf(row: EndpointRow): WebhookEndpoint {
  return {
    id: row.id,
    object: "webhook_endpoint",
    url: row.url,
    events: row.events,
    enabled: row.enabled,
    created_at: Math.floor(row.createdAt.getTime() / 1_000),
  };
}
