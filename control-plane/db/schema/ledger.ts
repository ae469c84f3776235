/**
 * Where credits are and how they came there: holds with the lots they pin, the journal, and what the auditor found.
 *
 * The journal is append-only (a trigger refuses everything else), and each of its rows moves an amount from one book of a
 * grant to another: it has both sides of the entry, so it nets to zero by its shape. A grant's and a hold's columns are
 * sums of the journal, kept because a submit must not add up a history.
 */
import {
  bigint,
  bigserial,
  boolean,
  check,
  foreignKey,
  index,
  integer,
  jsonb,
  pgEnum,
  pgTable,
  primaryKey,
  sql,
  text,
  unique,
  uniqueIndex,
} from "../drizzle.ts";
import { ACT_KINDS, BOOKS, ENTRY_KINDS } from "#control-plane/core/ledger.ts";
import type { AccountId, VideoId } from "#protocol/id.ts";
import { account, creditGrant } from "./account.ts";
import { amount, moment } from "./column.ts";
import { job } from "./job.ts";

export const holdState = pgEnum("hold_state", ["open", "settled"]);
export const creditBook = pgEnum("credit_book", BOOKS);
export const creditEntryKind = pgEnum("credit_entry_kind", ENTRY_KINDS);
export const creditActKind = pgEnum("credit_act_kind", ACT_KINDS);

/** One hold a job, over all its attempts. */
export const creditHold = pgTable(
  "credit_hold",
  {
    jobId: text("job_id")
      .primaryKey()
      .references(() => job.id),
    accountId: text("account_id").notNull(),
    amount: amount("amount").notNull(),
    captured: amount("captured")
      .notNull()
      .default(sql`0`),
    released: amount("released")
      .notNull()
      .default(sql`0`),
    /** Of what was captured, given back later by the operator. */
    refunded: amount("refunded")
      .notNull()
      .default(sql`0`),
    state: holdState().notNull().default("open"),
    createdAt: moment("created_at").notNull().defaultNow(),
    settledAt: moment("settled_at"),
  },
  (table) => [
    check(
      "credit_hold_settles_whole",
      sql`(${table.state} = 'open' and ${table.captured} = 0 and ${table.released} = 0)
        or (${table.state} = 'settled' and ${table.captured} >= 0 and ${table.released} >= 0 and ${table.captured} + ${table.released} = ${table.amount})`,
    ),
    check("credit_hold_refunds_what_it_captured", sql`${table.refunded} between 0 and ${table.captured}`),
  ],
);

/** The amounts a hold pins per grant: an expiring grant keeps them for this job. */
export const creditHoldLot = pgTable(
  "credit_hold_lot",
  {
    jobId: text("job_id").notNull(),
    grantId: text("grant_id")
      .notNull()
      .references(() => creditGrant.id),
    /** Place in the burn order: captures take lots in this order. */
    rank: integer().notNull(),
    amount: amount("amount").notNull(),
    captured: amount("captured")
      .notNull()
      .default(sql`0`),
    refunded: amount("refunded")
      .notNull()
      .default(sql`0`),
  },
  (table) => [
    primaryKey({ columns: [table.jobId, table.grantId] }),
    foreignKey({ columns: [table.jobId], foreignColumns: [creditHold.jobId] }),
    check(
      "credit_hold_lot_captured_within",
      sql`${table.captured} between 0 and ${table.amount} and ${table.amount} > 0`,
    ),
    check("credit_hold_lot_refunds_what_it_captured", sql`${table.refunded} between 0 and ${table.captured}`),
  ],
);

/** What the operator did. The same key with the same request is answered as the first time; with another, refused. */
export const creditAct = pgTable(
  "credit_act",
  {
    id: bigserial({ mode: "bigint" }).primaryKey(),
    accountId: text("account_id")
      .$type<AccountId>()
      .notNull()
      .references(() => account.id),
    kind: creditActKind().notNull(),
    idempotencyKey: text("idempotency_key"),
    request: jsonb().$type<Readonly<Record<string, string | number | null>>>().notNull(),
    at: moment("at").notNull(),
  },
  (table) => [unique("credit_act_one_per_key").on(table.accountId, table.idempotencyKey)],
);

/**
 * The journal: `amount` went from one book of a grant to another. Written under the account's lock, so within an account
 * ids follow the order of commits and `available_after` is a running balance.
 */
export const creditEntry = pgTable(
  "credit_entry",
  {
    id: bigserial({ mode: "bigint" }).primaryKey(),
    accountId: text("account_id").$type<AccountId>().notNull(),
    grantId: text("grant_id")
      .notNull()
      .references(() => creditGrant.id),
    jobId: text("job_id")
      .$type<VideoId>()
      .references(() => job.id),
    actId: bigint("act_id", { mode: "bigint" }).references(() => creditAct.id),
    kind: creditEntryKind().notNull(),
    fromBook: creditBook("from_book").notNull(),
    toBook: creditBook("to_book").notNull(),
    amount: amount("amount").notNull(),
    /** Of all grants of the account, started or not. */
    availableAfter: amount("available_after").notNull(),
    /** The server's clock, read under the account's lock. */
    at: moment("at").notNull(),
  },
  (table) => [
    index("credit_entry_by_account").on(table.accountId, table.id),
    index("credit_entry_by_time").on(table.at, table.id),
    uniqueIndex("credit_entry_funds_once")
      .on(table.grantId)
      .where(sql`${table.fromBook} = 'issued'`),
    uniqueIndex("credit_entry_once_per_job")
      .on(table.jobId, table.grantId, table.kind)
      .where(sql`${table.jobId} is not null`),
    check("credit_entry_moves_something", sql`${table.amount} > 0 and ${table.availableAfter} >= 0`),
    check(
      "credit_entry_goes_a_known_way",
      sql`case ${table.kind}
        when 'funded' then ${table.fromBook} = 'issued' and ${table.toBook} = 'available' and ${table.jobId} is null
        when 'make_good' then ${table.fromBook} = 'issued' and ${table.toBook} = 'available' and ${table.jobId} is not null
        when 'adjusted' then (${table.fromBook}, ${table.toBook}) in (('issued', 'available'), ('available', 'consumed'))
          and ${table.jobId} is null and ${table.actId} is not null
        when 'held' then ${table.fromBook} = 'available' and ${table.toBook} = 'held' and ${table.jobId} is not null
        when 'captured' then ${table.fromBook} = 'held' and ${table.toBook} = 'consumed' and ${table.jobId} is not null
        when 'released' then ${table.fromBook} = 'held' and ${table.toBook} = 'available' and ${table.jobId} is not null
        when 'expired' then ${table.toBook} = 'expired'
          and ${table.fromBook} = case when ${table.jobId} is null then 'available'::credit_book else 'held'::credit_book end
        when 'voided' then ${table.toBook} = 'voided'
          and ${table.fromBook} = case when ${table.jobId} is null then 'available'::credit_book else 'held'::credit_book end
        when 'refunded' then ${table.fromBook} = 'consumed' and ${table.toBook} in ('available', 'expired', 'voided')
          and ${table.jobId} is not null and ${table.actId} is not null
      end`,
    ),
  ],
);

/** What the auditor saw last. While `breaches` is not empty, nothing is admitted. */
export const ledgerAudit = pgTable(
  "ledger_audit",
  {
    singleton: boolean().primaryKey().default(true),
    epoch: integer().notNull(),
    breaches: jsonb().$type<readonly { readonly rule: string; readonly row: string }[]>().notNull(),
    at: moment("at").notNull(),
  },
  (table) => [check("ledger_audit_single_row", sql`${table.singleton}`)],
);
