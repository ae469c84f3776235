/** Who may ask for what, at which price: tiers, accounts, keys, models and their classes, credit grants. */
import { check, index, integer, jsonb, pgEnum, pgTable, primaryKey, sql, text, unique } from "../drizzle.ts";
import type { ClassShape, ModelSize } from "#control-plane/core/model.ts";
import { RESUMES } from "#control-plane/core/scheduler/job-class.ts";
import { GrantCategory } from "#protocol/admin.ts";
import type { AccountId, Sha256Hex } from "#protocol/id.ts";
import { amount, moment, valuesOf } from "./column.ts";

export const grantCategory = pgEnum("grant_category", valuesOf(GrantCategory));
export const modelResume = pgEnum("model_resume", RESUMES);

/** Weight, caps and limits of a tier: data, changed without a restart. */
export const tier = pgTable(
  "tier",
  {
    name: text().primaryKey(),
    weight: integer().notNull(),
    /** Bounds of the tier's share, which is the sum of its active accounts' weights. */
    shareMin: integer("share_min").notNull().default(1),
    shareMax: integer("share_max").notNull().default(1_000_000),
    /** Running videos of one account, and of the whole tier. */
    maxRunning: integer("max_running").notNull(),
    tierMaxRunning: integer("tier_max_running").notNull().default(1_000_000),
    maxQueued: integer("max_queued").notNull(),
    createsPerMinute: integer("creates_per_minute").notNull(),
    createsBurst: integer("creates_burst").notNull(),
    /** Of all calls but creates. */
    readsPerMinute: integer("reads_per_minute").notNull().default(6_000),
    readsBurst: integer("reads_burst").notNull().default(200),
    startBoundS: integer("start_bound_s").notNull(),
    /** How long its finished videos are kept; null: until they are deleted. */
    keepVideoHours: integer("keep_video_hours"),
    /** How long its finished drafts can be promoted. */
    keepDraftHours: integer("keep_draft_hours").notNull().default(24),
  },
  (table) => [
    check("tier_weighs", sql`${table.weight} > 0 and ${table.shareMin} > 0 and ${table.shareMax} >= ${table.shareMin}`),
    check(
      "tier_limits_make_sense",
      sql`least(${table.maxRunning}, ${table.tierMaxRunning}, ${table.maxQueued}) >= 0
        and least(${table.createsPerMinute}, ${table.createsBurst}, ${table.readsPerMinute}, ${table.readsBurst}, ${table.startBoundS}, ${table.keepDraftHours}) > 0
        and (${table.keepVideoHours} is null or ${table.keepVideoHours} > 0)`,
    ),
  ],
);

export const account = pgTable("account", {
  id: text().$type<AccountId>().primaryKey(),
  name: text().notNull(),
  tier: text()
    .notNull()
    .references(() => tier.name),
  createdAt: moment("created_at").notNull().defaultNow(),
});

/** Only the SHA-256 of a key is kept. */
export const apiKey = pgTable("api_key", {
  id: text().primaryKey(),
  accountId: text("account_id")
    .$type<AccountId>()
    .notNull()
    .references(() => account.id),
  keySha256: text("key_sha256").$type<Sha256Hex>().notNull().unique(),
  last4: text().notNull(),
  createdAt: moment("created_at").notNull().defaultNow(),
  /** To the minute. */
  lastUsedAt: moment("last_used_at"),
  revokedAt: moment("revoked_at"),
});

/** What may be asked of a model. */
export const model = pgTable("model", {
  name: text().primaryKey(),
  engine: text().notNull(),
  fps: integer().notNull(),
  sizes: jsonb().$type<readonly ModelSize[]>().notNull(),
  defaultSize: text("default_size").notNull(),
  secondsMin: integer("seconds_min").notNull(),
  secondsMax: integer("seconds_max").notNull(),
  secondsDefault: integer("seconds_default").notNull(),
  stepsDefault: integer("steps_default").notNull(),
  stepsMax: integer("steps_max").notNull(),
  /** Time to make its weights resident on a device; 0 where there are none. */
  loadMs: integer("load_ms").notNull().default(0),
  /** Whether its videos may be stopped at a step and go on elsewhere without loss. */
  resume: modelResume().notNull().default("exact"),
  createdAt: moment("created_at").notNull().defaultNow(),
});

/**
 * Resolution bucket × duration bucket of a model: its price, its fair charge at the cheapest gang, and what it needs for
 * each gang size, all at the default steps. A retired class takes no new videos; those it has run to their end.
 */
export const modelClass = pgTable(
  "model_class",
  {
    model: text()
      .notNull()
      .references(() => model.name),
    name: text().notNull(),
    resolution: text().notNull(),
    secondsMax: integer("seconds_max").notNull(),
    price: amount("price").notNull(),
    gpuMs: integer("gpu_ms").notNull(),
    shapes: jsonb().$type<readonly ClassShape[]>().notNull(),
    retiredAt: moment("retired_at"),
  },
  (table) => [
    primaryKey({ columns: [table.model, table.name] }),
    unique().on(table.model, table.resolution, table.secondsMax),
    check("model_class_price_positive", sql`${table.price} > 0 and ${table.gpuMs} > 0`),
    check(
      "model_class_has_shapes",
      sql`jsonb_typeof(${table.shapes}) = 'array' and jsonb_array_length(${table.shapes}) > 0`,
    ),
  ],
);

/**
 * Every credit of a grant is in one book: available, held, consumed, expired or voided. `available` is what the others
 * leave; the CHECK makes an overdraft impossible. The journal (`schema/ledger.ts`) says how they came there.
 */
export const creditGrant = pgTable(
  "credit_grant",
  {
    id: text().primaryKey(),
    accountId: text("account_id")
      .$type<AccountId>()
      .notNull()
      .references(() => account.id),
    amount: amount("amount").notNull(),
    held: amount("held")
      .notNull()
      .default(sql`0`),
    consumed: amount("consumed")
      .notNull()
      .default(sql`0`),
    expired: amount("expired")
      .notNull()
      .default(sql`0`),
    voided: amount("voided")
      .notNull()
      .default(sql`0`),
    available: amount("available")
      .notNull()
      .generatedAlwaysAs(sql`amount - held - consumed - expired - voided`),
    category: grantCategory().notNull(),
    priority: integer().notNull(),
    effectiveAt: moment("effective_at").notNull().defaultNow(),
    /** The first moment at which it may not be spent any more; null never ends. */
    expiresAt: moment("expires_at"),
    /** Its expiry was posted: what was free is gone, and what holds give back from now on is forfeited. */
    expiredAt: moment("expired_at"),
    /** The operator ended it early. */
    voidedAt: moment("voided_at"),
    createdAt: moment("created_at").notNull().defaultNow(),
  },
  (table) => [
    index("credit_grant_by_account").on(table.accountId),
    // None of its columns changes when credits move, so holds and captures stay cheap (heap-only) updates.
    index("credit_grant_to_expire")
      .on(table.expiresAt)
      .where(sql`${table.expiresAt} is not null and ${table.expiredAt} is null and ${table.voidedAt} is null`),
    check(
      "credit_grant_not_overdrawn",
      sql`${table.amount} > 0 and least(${table.held}, ${table.consumed}, ${table.expired}, ${table.voided}) >= 0
        and ${table.held} + ${table.consumed} + ${table.expired} + ${table.voided} <= ${table.amount}`,
    ),
    check(
      "credit_grant_ended_has_nothing_free",
      sql`(${table.expiredAt} is null and ${table.voidedAt} is null)
        or ${table.held} + ${table.consumed} + ${table.expired} + ${table.voided} = ${table.amount}`,
    ),
    check(
      "credit_grant_expires_after_start",
      sql`(${table.expiresAt} is null or ${table.expiresAt} >= ${table.effectiveAt})
        and (${table.expiredAt} is null or ${table.expiresAt} is not null)`,
    ),
    check(
      "credit_grant_ends_once",
      sql`(${table.expired} = 0 or ${table.expiresAt} is not null) and (${table.voided} = 0 or ${table.voidedAt} is not null)
        and (${table.expiredAt} is null or ${table.voidedAt} is null)`,
    ),
  ],
);
