/** Where webhooks go, the secrets that sign them, and the outbox that holds every delivery. */
import { boolean, check, index, integer, jsonb, pgEnum, pgTable, sql, text, uniqueIndex } from "../drizzle.ts";
import type { RetiringSecret } from "#control-plane/core/webhook-secret.ts";
import type { AccountId } from "#protocol/id.ts";
import { DisabledReason } from "#protocol/event.ts";
import { EndpointScope } from "#protocol/webhook.ts";
import { account } from "./account.ts";
import { moment, valuesOf } from "./column.ts";
import { eventType } from "./delivery.ts";

export const endpointScope = pgEnum("webhook_endpoint_scope", valuesOf(EndpointScope));
export const disabledReason = pgEnum("webhook_disabled_reason", valuesOf(DisabledReason));

/** A receiver: a queue of deliveries with a breaker. `core/webhook-breaker.ts` decides what failures do to it. */
export const webhookEndpoint = pgTable(
  "webhook_endpoint",
  {
    id: text().primaryKey(),
    accountId: text("account_id")
      .$type<AccountId>()
      .notNull()
      .references(() => account.id),
    scope: endpointScope().notNull().default("account"),
    url: text().notNull(),
    /** Null for a video's own receiver: the account's secret signs. */
    secret: text(),
    /** Older secrets that still sign beside the newest. */
    retiring: jsonb().$type<readonly RetiringSecret[]>().notNull().default([]),
    events: eventType().array().notNull(),
    enabled: boolean().notNull().default(true),
    disabledReason: disabledReason("disabled_reason"),
    /** Failed tries since the last that was answered well, and when the first of them was. */
    failures: integer().notNull().default(0),
    failingSince: moment("failing_since"),
    /** Nothing is sent before; then one try at a time until one succeeds. */
    restedUntil: moment("rested_until"),
    deliveredAt: moment("delivered_at"),
    /** Never later than there is something to do for it; null: nothing. Only the claim raises it. */
    dueAt: moment("due_at"),
    createdAt: moment("created_at").notNull().defaultNow(),
  },
  (table) => [
    index("webhook_endpoint_by_account").on(table.accountId),
    index("webhook_endpoint_due")
      .on(table.dueAt)
      .where(sql`${table.dueAt} is not null`),
    uniqueIndex("webhook_endpoint_of_videos")
      .on(table.accountId, table.url)
      .where(sql`${table.scope} = 'videos'`),
    check("webhook_endpoint_says_why_it_is_disabled", sql`${table.enabled} = (${table.disabledReason} is null)`),
    check(
      "webhook_endpoint_of_the_account_has_a_secret",
      sql`(${table.scope} = 'account') = (${table.secret} is not null)`,
    ),
  ],
);

/** The account's secret, which signs what goes to the `webhook_url` of videos. */
export const webhookSecret = pgTable("webhook_secret", {
  accountId: text("account_id")
    .primaryKey()
    .references(() => account.id),
  secret: text().notNull(),
  retiring: jsonb().$type<readonly RetiringSecret[]>().notNull().default([]),
  createdAt: moment("created_at").notNull().defaultNow(),
});

/** Videos with a `webhook_url`. */
export const videoWebhook = pgTable("video_webhook", {
  jobId: text("job_id").primaryKey(),
  endpointId: text("endpoint_id")
    .notNull()
    .references(() => webhookEndpoint.id, { onDelete: "cascade" }),
});

/** The outbox of webhooks; `id` is the `webhook-id` of every try. */
export const webhookDelivery = pgTable(
  "webhook_delivery",
  {
    id: text().primaryKey(),
    accountId: text("account_id").notNull(),
    endpointId: text("endpoint_id")
      .notNull()
      .references(() => webhookEndpoint.id, { onDelete: "cascade" }),
    /** Null for a test, which is no event of the log. */
    sequenceNumber: integer("sequence_number"),
    body: text().notNull(),
    tries: integer().notNull().default(0),
    /** Null once delivered or given up; of a claimed one, when the claim ends. */
    nextAt: moment("next_at").defaultNow(),
    claimedAt: moment("claimed_at"),
    triedAt: moment("tried_at"),
    lastStatus: integer("last_status"),
    lastError: text("last_error"),
    lastMs: integer("last_ms"),
    createdAt: moment("created_at").notNull().defaultNow(),
    deliveredAt: moment("delivered_at"),
  },
  (table) => [
    index("webhook_delivery_pending")
      .on(table.endpointId, table.nextAt, table.id)
      .where(sql`${table.nextAt} is not null`),
    index("webhook_delivery_claimed")
      .on(table.endpointId)
      .where(sql`${table.claimedAt} is not null`),
    index("webhook_delivery_by_account").on(table.accountId, table.id),
    index("webhook_delivery_by_endpoint").on(table.endpointId, table.id),
    uniqueIndex("webhook_delivery_of_an_event")
      .on(table.endpointId, table.sequenceNumber)
      .where(sql`${table.sequenceNumber} is not null`),
  ],
);
