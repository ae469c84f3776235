/** What was and will be sent to an account's endpoints; sending one delivery, a stretch of the log, or a test. */
import type { Sql } from "#control-plane/db/connect.ts";
import { inOneStatement } from "#control-plane/db/transaction.ts";
import { findDelivery, insertTest, listDeliveries, redeliver, replay } from "#control-plane/db/webhook-log.ts";
import type { DeliveryRow } from "#control-plane/db/webhook-log.ts";
import type { Refusal } from "#protocol/error.ts";
import type { AccountId, WebhookDeliveryId, WebhookEndpointId } from "#protocol/id.ts";
import type {
  DeliveryQuery,
  ReplayWebhooks,
  WebhookDelivery,
  WebhookDeliveryList,
  WebhookEndpoint,
  WebhookReplay,
} from "#protocol/webhook.ts";

const NO_DELIVERY: Refusal = { code: "not_found", message: "No such webhook delivery." };
const DISABLED: Refusal = {
  code: "webhook_endpoint_disabled",
  message: "The webhook endpoint is disabled. Enable it first.",
};

export async function readDeliveries(sql: Sql, account: AccountId, query: DeliveryQuery): Promise<WebhookDeliveryList> {
  const rows = await listDeliveries(sql, account, query);
  const data = rows.slice(0, query.limit).map(viewOf);
  return {
    object: "list",
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: rows.length > query.limit,
  };
}

export async function readDelivery(
  sql: Sql,
  account: AccountId,
  id: WebhookDeliveryId,
): Promise<WebhookDelivery | Refusal> {
  const row = await findDelivery(sql, account, id);
  return row === null ? NO_DELIVERY : viewOf(row);
}

export async function sendAgain(
  sql: Sql,
  account: AccountId,
  id: WebhookDeliveryId,
): Promise<WebhookDelivery | Refusal> {
  if ((await findDelivery(sql, account, id)) === null) return NO_DELIVERY;
  const sent = await inOneStatement(() => redeliver(sql, account, id));
  return sent ? readDelivery(sql, account, id) : DISABLED;
}

export async function replayTo(
  sql: Sql,
  account: AccountId,
  endpoint: WebhookEndpoint,
  wanted: ReplayWebhooks,
): Promise<WebhookReplay | Refusal> {
  if (!endpoint.enabled) return DISABLED;
  const { replayed, through, hasMore } = await inOneStatement(() => replay(sql, account, endpoint.id, wanted));
  return {
    object: "webhook_replay",
    webhook_endpoint_id: endpoint.id,
    replayed,
    last_sequence_number: through,
    has_more: hasMore,
  };
}

export async function sendTest(
  sql: Sql,
  account: AccountId,
  endpoint: WebhookEndpointId,
): Promise<WebhookDelivery | Refusal> {
  const id = await inOneStatement(() => insertTest(sql, account, endpoint));
  return id === null ? DISABLED : readDelivery(sql, account, id);
}

function viewOf(row: DeliveryRow): WebhookDelivery {
  return {
    id: row.id,
    object: "webhook_delivery",
    webhook_endpoint_id: row.endpointId,
    url: row.url,
    event_id: row.eventId,
    event_type: row.eventType,
    sequence_number: row.sequenceNumber,
    status: row.status,
    tries: row.tries,
    last_status: row.lastStatus,
    last_error: row.lastError,
    last_ms: row.lastMs,
    last_tried_at: secondsOf(row.triedAt),
    next_try_at: secondsOf(row.nextAt),
    delivered_at: secondsOf(row.deliveredAt),
    created_at: Math.floor(row.createdAt.getTime() / 1_000),
  };
}

function secondsOf(moment: Date | null): number | null {
  return moment === null ? null : Math.floor(moment.getTime() / 1_000);
}
