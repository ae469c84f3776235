/** What replicas share to work together: the leader's lease, its mail, seen calls, known runners. */
import {
  bigint,
  bigserial,
  boolean,
  check,
  doublePrecision,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  sql,
  text,
} from "../drizzle.ts";
import type { AccountId, RunnerId, VideoId } from "#protocol/id.ts";
import type { Device, EngineCaps } from "#protocol/runner.ts";
import { moment } from "./column.ts";

/** Request ids of signed mutations, kept 120 s: a replayed call is refused. */
export const nonce = pgTable("nonce", {
  requestId: text("request_id").primaryKey(),
  seenAt: moment("seen_at").notNull().defaultNow(),
});

/**
 * Where accounts and tiers stand in the fair order, written by the leader with every dispatch: a takeover forgives
 * nobody. In tables of their own, because ledger and events lock the account's row.
 */
export const fairTag = pgTable("fair_tag", {
  accountId: text("account_id").$type<AccountId>().primaryKey(),
  tag: bigint({ mode: "bigint" }).notNull(),
});

export const tierClock = pgTable("tier_clock", {
  tier: text().primaryKey(),
  tag: bigint({ mode: "bigint" }).notNull(),
  virtual: bigint({ mode: "bigint" }).notNull(),
});

/** Work for the leader's scheduler, written by any replica in the transaction that caused it. */
export const inbox = pgTable("inbox", {
  id: bigserial({ mode: "bigint" }).primaryKey(),
  /** Null: tiers, accounts, classes, limits or a runner's drain were changed by the operator. */
  jobId: text("job_id"),
});

/** Thresholds of the scheduler that the operator set; the others are the environment's. */
export const schedulerLimit = pgTable("scheduler_limit", {
  name: text().primaryKey(),
  value: doublePrecision().notNull(),
});

/** The one lease row: who schedules. Every scheduling write checks the epoch. */
export const leader = pgTable(
  "leader",
  {
    singleton: boolean().primaryKey().default(true),
    epoch: integer().notNull(),
    holder: text().notNull(),
    /** Where other replicas reach it; null if it was never said. */
    url: text(),
    expiresAt: moment("expires_at").notNull(),
  },
  (table) => [check("leader_single_row", sql`${table.singleton}`)],
);

/**
 * What a job that comes now would meet, per tier and class (`model|class`), written by the leader about every second. Any
 * replica admits by it while it is fresh.
 */
export const admissionSummary = pgTable(
  "admission_summary",
  {
    tier: text().notNull(),
    class: text().notNull(),
    queued: integer().notNull(),
    backlogMs: bigint("backlog_ms", { mode: "bigint" }).notNull(),
    /** Null if no runner could ever run the class. */
    startP50Ms: bigint("start_p50_ms", { mode: "bigint" }),
    startP90Ms: bigint("start_p90_ms", { mode: "bigint" }),
    epoch: integer().notNull(),
    at: moment("at").notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.tier, table.class] }),
    check(
      "admission_summary_start_whole",
      sql`(${table.startP50Ms} is null) = (${table.startP90Ms} is null) and ${table.startP50Ms} <= ${table.startP90Ms}`,
    ),
  ],
);

/** Runners that ever connected, as they last described themselves. */
export const runner = pgTable("runner", {
  id: text().primaryKey(),
  engine: text().notNull(),
  build: text().notNull(),
  models: text().array().notNull(),
  caps: jsonb().$type<EngineCaps>().notNull(),
  devices: jsonb().$type<readonly Device[]>().notNull(),
  /** Set by the operator: it gets no new work, whatever it says and however often it dials. */
  drained: boolean().notNull().default(false),
  firstSeenAt: moment("first_seen_at").notNull().defaultNow(),
  lastSeenAt: moment("last_seen_at").notNull().defaultNow(),
});

/** A runner went away with these jobs aboard: what quarantine is decided by. */
export const runnerIncident = pgTable(
  "runner_incident",
  {
    id: bigserial({ mode: "bigint" }).primaryKey(),
    runnerId: text("runner_id").$type<RunnerId>().notNull(),
    at: moment("at").notNull().defaultNow(),
    jobs: text().array().$type<VideoId[]>().notNull(),
  },
  (table) => [
    index("runner_incident_by_time").on(table.at),
    check("runner_incident_has_jobs", sql`cardinality(${table.jobs}) > 0`),
  ],
);
