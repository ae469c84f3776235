/**
 * Every table of Callsheet. Postgres is the only truth: a reply is sent after commit, and the CHECK constraints and
 * unique indexes below repeat the rules of `core/`, so a bug in a program cannot break them.
 *
 * Enums are built from the wire schemas of `protocol/`, so a drifting value fails to compile. Amounts are `bigint`
 * milli-credits. `lease` columns of a job are set exactly while a runner holds it.
 */
import { sql } from "drizzle-orm";
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
  text,
  timestamp,
  unique,
  uniqueIndex,
} from "drizzle-orm/pg-core";
import { GrantCategory } from "#protocol/admin.ts";
import type { AccountId, CreateKey, DeviceId, RunnerId, Sha256Hex, VideoId } from "#protocol/id.ts";
import type { EventData } from "#protocol/event.ts";
import { EventType } from "#protocol/event.ts";
import type { Device, EngineCaps } from "#protocol/runner.ts";
import { Exactness } from "#protocol/runner.ts";
import type { GpuMillis, MilliCredits } from "#protocol/unit.ts";
import { JobErrorCode, JobState, VideoError } from "#protocol/video.ts";
import type { ModelSize } from "#control-plane/core/model.ts";

const moment = (name: string) => timestamp(name, { withTimezone: true, mode: "date" });
const amount = (name: string) => bigint(name, { mode: "bigint" }).$type<MilliCredits>();

/** The values of a wire enum as the non-empty tuple that `pgEnum` wants. */
function valuesOf<const Value extends string>(schema: { readonly options: readonly Value[] }): [Value, ...Value[]] {
  const [first, ...rest] = schema.options;
  if (first === undefined) throw new TypeError("an enum needs a value");
  return [first, ...rest];
}

export const jobState = pgEnum("job_state", valuesOf(JobState));
export const jobErrorCode = pgEnum("job_error_code", valuesOf(JobErrorCode));
export const jobFault = pgEnum("job_fault", valuesOf(VideoError.shape.fault));
export const eventType = pgEnum("event_type", valuesOf(EventType));
export const grantCategory = pgEnum("grant_category", valuesOf(GrantCategory));
export const checkpointExactness = pgEnum("checkpoint_exactness", valuesOf(Exactness));
export const holdState = pgEnum("hold_state", ["open", "settled"]);
export const attemptOutcome = pgEnum("attempt_outcome", [
  "completed",
  "failed",
  "stopped",
  "lost", // the runner died, fell silent or did not take the work
]);

/** Weight, caps and limits of a tier: data, changed without a restart. */
export const tier = pgTable("tier", {
  name: text().primaryKey(),
  weight: integer().notNull(),
  maxRunning: integer("max_running").notNull(),
  maxQueued: integer("max_queued").notNull(),
  createsPerMinute: integer("creates_per_minute").notNull(),
  createsBurst: integer("creates_burst").notNull(),
  startBoundS: integer("start_bound_s").notNull(),
});

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
});

/** Resolution bucket × duration bucket of a model, with its price and its estimated cost at the default steps. */
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
    vramBytes: bigint("vram_bytes", { mode: "bigint" }).notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.model, table.name] }),
    unique().on(table.model, table.resolution, table.secondsMax),
    check("model_class_price_positive", sql`${table.price} > 0 and ${table.gpuMs} > 0`),
  ],
);

/** `amount − held − consumed` is what may still be held; the CHECK makes an overdraft impossible. */
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
    category: grantCategory().notNull(),
    priority: integer().notNull(),
    effectiveAt: moment("effective_at").notNull().defaultNow(),
    expiresAt: moment("expires_at"),
    createdAt: moment("created_at").notNull().defaultNow(),
  },
  (table) => [
    index("credit_grant_by_account").on(table.accountId),
    check(
      "credit_grant_not_overdrawn",
      sql`${table.amount} > 0 and ${table.held} >= 0 and ${table.consumed} >= 0 and ${table.held} + ${table.consumed} <= ${table.amount}`,
    ),
  ],
);

export const job = pgTable(
  "job",
  {
    id: text().$type<VideoId>().primaryKey(),
    accountId: text("account_id")
      .$type<AccountId>()
      .notNull()
      .references(() => account.id),
    createKey: text("create_key").$type<CreateKey>().notNull(),
    tier: text().notNull(),
    model: text().notNull(),
    class: text().notNull(),
    prompt: text().notNull(),
    negativePrompt: text("negative_prompt").notNull(),
    size: text().notNull(),
    fps: integer().notNull(),
    seconds: integer().notNull(),
    steps: integer().notNull(),
    seed: bigint({ mode: "bigint" }).notNull(),
    metadata: jsonb().$type<Readonly<Record<string, string>>>().notNull(),
    referenceSha256: text("reference_sha256").$type<Sha256Hex>(),
    referenceMediaType: text("reference_media_type"),
    price: amount("price").notNull(),
    gpuMs: integer("gpu_ms").$type<GpuMillis>().notNull(),

    state: jobState().notNull().default("queued"),
    progress: integer().notNull().default(0),
    stepsDone: integer("steps_done").notNull().default(0),
    epoch: integer().notNull().default(0),
    attempts: integer().notNull().default(0),
    preemptions: integer().notNull().default(0),
    runnerDeaths: integer("runner_deaths").notNull().default(0),
    engineFailures: integer("engine_failures").notNull().default(0),
    runnerId: text("runner_id").$type<RunnerId>(),
    devices: text().array().$type<DeviceId[]>(),
    leaseExpiresAt: moment("lease_expires_at"),
    notBefore: moment("not_before"),

    createdAt: moment("created_at").notNull().defaultNow(),
    startedAt: moment("started_at"),
    finishedAt: moment("finished_at"),
    deadlineAt: moment("deadline_at").notNull(),
    expiresAt: moment("expires_at"),
    deletedAt: moment("deleted_at"),

    errorCode: jobErrorCode("error_code"),
    errorMessage: text("error_message"),
    errorFault: jobFault("error_fault"),
    artifactKey: text("artifact_key"),
    artifactSha256: text("artifact_sha256").$type<Sha256Hex>(),
    artifactBytes: bigint("artifact_bytes", { mode: "bigint" }),
    latentsSha256: text("latents_sha256"),
    framesSha256: text("frames_sha256"),
  },
  (table) => [
    unique("job_one_per_create_key").on(table.accountId, table.createKey),
    index("job_by_account").on(table.accountId, table.createdAt, table.id),
    index("job_unfinished")
      .on(table.state)
      .where(sql`${table.finishedAt} is null`),
    check(
      "job_leased_iff_on_runner",
      sql`(${table.state} in ('starting', 'running', 'uploading', 'cancelling')) = (${table.runnerId} is not null)
        and (${table.runnerId} is null) = (${table.leaseExpiresAt} is null)
        and (${table.runnerId} is null) = (${table.devices} is null)`,
    ),
    check(
      "job_finished_iff_terminal",
      sql`(${table.state} in ('completed', 'failed', 'cancelled')) = (${table.finishedAt} is not null)`,
    ),
    check("job_progress_full_iff_completed", sql`(${table.progress} = 100) = (${table.state} = 'completed')`),
    check("job_artifact_iff_completed", sql`(${table.artifactKey} is not null) = (${table.state} = 'completed')`),
    check("job_error_iff_failed", sql`(${table.state} in ('failed', 'cancelled')) = (${table.errorCode} is not null)`),
    check(
      "job_progress_in_range",
      sql`${table.progress} between 0 and 100 and ${table.stepsDone} between 0 and ${table.steps}`,
    ),
  ],
);

/** One try of a job under one lease; the open one is the lease itself. */
export const attempt = pgTable(
  "attempt",
  {
    jobId: text("job_id")
      .notNull()
      .references(() => job.id),
    epoch: integer().notNull(),
    runnerId: text("runner_id").notNull(),
    fromStep: integer("from_step").notNull(),
    startedAt: moment("started_at").notNull().defaultNow(),
    endedAt: moment("ended_at"),
    outcome: attemptOutcome(),
  },
  (table) => [
    primaryKey({ columns: [table.jobId, table.epoch] }),
    uniqueIndex("attempt_one_open_per_job")
      .on(table.jobId)
      .where(sql`${table.endedAt} is null`),
    check("attempt_ended_has_outcome", sql`(${table.endedAt} is null) = (${table.outcome} is null)`),
  ],
);

export const checkpoint = pgTable(
  "checkpoint",
  {
    jobId: text("job_id")
      .notNull()
      .references(() => job.id),
    epoch: integer().notNull(),
    step: integer().notNull(),
    storeKey: text("store_key").notNull(),
    sha256: text().notNull(),
    bytes: bigint({ mode: "bigint" }).notNull(),
    exactness: checkpointExactness().notNull(),
    createdAt: moment("created_at").notNull().defaultNow(),
  },
  (table) => [primaryKey({ columns: [table.jobId, table.epoch, table.step] })],
);

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
  },
  (table) => [
    primaryKey({ columns: [table.jobId, table.grantId] }),
    foreignKey({ columns: [table.jobId], foreignColumns: [creditHold.jobId] }),
    check(
      "credit_hold_lot_captured_within",
      sql`${table.captured} between 0 and ${table.amount} and ${table.amount} > 0`,
    ),
  ],
);

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
    jobId: text("job_id").notNull(),
    data: jsonb().$type<EventData>().notNull(),
    createdAt: moment("created_at").notNull().defaultNow(),
  },
  (table) => [primaryKey({ columns: [table.accountId, table.sequenceNumber] })],
);

/** Accounts with a live session at the edge, and how far their log was pushed. */
export const edgeSubscription = pgTable("edge_subscription", {
  accountId: text("account_id")
    .primaryKey()
    .references(() => account.id),
  sentThrough: integer("sent_through").notNull(),
  expiresAt: moment("expires_at").notNull(),
});

export const webhookEndpoint = pgTable(
  "webhook_endpoint",
  {
    id: text().primaryKey(),
    accountId: text("account_id")
      .$type<AccountId>()
      .notNull()
      .references(() => account.id),
    url: text().notNull(),
    secret: text().notNull(),
    events: eventType().array().notNull(),
    enabled: boolean().notNull().default(true),
    createdAt: moment("created_at").notNull().defaultNow(),
  },
  (table) => [index("webhook_endpoint_by_account").on(table.accountId)],
);

/** The outbox of webhooks; `id` is the `webhook-id` of every try. */
export const webhookDelivery = pgTable(
  "webhook_delivery",
  {
    id: text().primaryKey(),
    endpointId: text("endpoint_id")
      .notNull()
      .references(() => webhookEndpoint.id, { onDelete: "cascade" }),
    body: text().notNull(),
    tries: integer().notNull().default(0),
    /** Null once delivered or given up. */
    nextAt: moment("next_at").defaultNow(),
    lastStatus: integer("last_status"),
    lastError: text("last_error"),
    createdAt: moment("created_at").notNull().defaultNow(),
    deliveredAt: moment("delivered_at"),
  },
  (table) => [
    index("webhook_delivery_due")
      .on(table.nextAt)
      .where(sql`${table.nextAt} is not null`),
  ],
);

/** Request ids of signed mutations, kept 120 s: a replayed call is refused. */
export const nonce = pgTable("nonce", {
  requestId: text("request_id").primaryKey(),
  seenAt: moment("seen_at").notNull().defaultNow(),
});

/** Work for the leader's scheduler, written by any replica in the transaction that caused it. */
export const inbox = pgTable("inbox", {
  id: bigserial({ mode: "bigint" }).primaryKey(),
  jobId: text("job_id").notNull(),
});

/** The one lease row: who schedules. Every scheduling write checks the epoch. */
export const leader = pgTable(
  "leader",
  {
    singleton: boolean().primaryKey().default(true),
    epoch: integer().notNull(),
    holder: text().notNull(),
    expiresAt: moment("expires_at").notNull(),
  },
  (table) => [check("leader_single_row", sql`${table.singleton}`)],
);

/** Runners that ever connected, as they last described themselves. */
export const runner = pgTable("runner", {
  id: text().primaryKey(),
  engine: text().notNull(),
  build: text().notNull(),
  models: text().array().notNull(),
  caps: jsonb().$type<EngineCaps>().notNull(),
  devices: jsonb().$type<readonly Device[]>().notNull(),
  firstSeenAt: moment("first_seen_at").notNull().defaultNow(),
  lastSeenAt: moment("last_seen_at").notNull().defaultNow(),
});
