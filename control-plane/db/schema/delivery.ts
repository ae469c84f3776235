/** What happened, and who is told: the numbered event log and live subscriptions. Webhooks: `webhook.ts`. */
import { check, integer, jsonb, pgEnum, pgTable, primaryKey, sql, text } from "../drizzle.ts";
import { EventType } from "#protocol/event.ts";
import type { Happening } from "#protocol/event.ts";
import { moment, valuesOf } from "./column.ts";
import { account } from "./account.ts";

export const eventType = pgEnum("event_type", valuesOf(EventType));

/** Updated last in every transaction that writes events, so numbers are gap-free and ordered as committed. */
export const eventCounter = pgTable("event_counter", {
  accountId: text("account_id")
    .primaryKey()
    .references(() => account.id),
  last: integer().notNull(),
});

export const event = pgTable(
  "event",
  {
    accountId: text("account_id").notNull(),
    sequenceNumber: integer("sequence_number").notNull(),
    id: text().notNull().unique(),
    type: eventType().notNull(),
    /** Null if it is about the account alone. */
    jobId: text("job_id"),
    data: jsonb().$type<Happening["data"]>().notNull(),
    createdAt: moment("created_at").notNull().defaultNow(),
  },
  (table) => [
    primaryKey({ columns: [table.accountId, table.sequenceNumber] }),
    check(
      "event_of_a_video_names_it",
      sql`${table.type}::text not like 'video.%' or (${table.jobId} is not null and ${table.data} ->> 'id' = ${table.jobId})`,
    ),
  ],
);

/** Accounts with a live session at the edge, and how far their log was pushed. */
export const edgeSubscription = pgTable("edge_subscription", {
  accountId: text("account_id")
    .primaryKey()
    .references(() => account.id),
  sentThrough: integer("sent_through").notNull(),
  expiresAt: moment("expires_at").notNull(),
});
