/** What accounts were told about their credits, and how far the journal was looked through for it. Written by the leader. */
import { boolean, check, integer, pgTable, primaryKey, sql, text } from "../drizzle.ts";
import type { AccountId } from "#protocol/id.ts";
import { account } from "./account.ts";
import { moment } from "./column.ts";

/** There is a row while a notice stands: it is not told again. */
export const creditNotice = pgTable(
  "credit_notice",
  {
    accountId: text("account_id")
      .$type<AccountId>()
      .notNull()
      .references(() => account.id),
    /** `low_balance`, or the grant whose end was told. */
    subject: text().notNull(),
    toldAt: moment("told_at").notNull(),
  },
  (table) => [primaryKey({ columns: [table.accountId, table.subject] })],
);

/** One row: entries of the journal and ends of grants up to here were looked at. */
export const creditWatch = pgTable(
  "credit_watch",
  {
    singleton: boolean().primaryKey().default(true),
    epoch: integer().notNull(),
    through: moment("through").notNull(),
  },
  (table) => [check("credit_watch_single_row", sql`${table.singleton}`)],
);
