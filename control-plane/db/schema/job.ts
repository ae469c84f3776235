/**
 * Jobs, their attempts and checkpoints. The CHECK constraints repeat the rules of
 * `core/job.ts`, so a bug in a program cannot break them. The lease columns of a job are set exactly while a runner
 * holds it.
 */
import {
  bigint,
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
import type { AnyPgColumn } from "../drizzle.ts";
import { COST_STAGES } from "#control-plane/core/scheduler/cost-correction.ts";
import type { AccountId, CreateKey, DeviceId, RunnerId, Sha256Hex, VideoId } from "#protocol/id.ts";
import { Exactness } from "#protocol/runner.ts";
import type { GpuMillis } from "#protocol/unit.ts";
import { JobErrorCode, JobState, VideoError } from "#protocol/video.ts";
import { amount, moment, valuesOf } from "./column.ts";
import { account, modelClass } from "./account.ts";

export const jobState = pgEnum("job_state", valuesOf(JobState));
export const jobErrorCode = pgEnum("job_error_code", valuesOf(JobErrorCode));
export const jobFault = pgEnum("job_fault", valuesOf(VideoError.shape.fault));
export const checkpointExactness = pgEnum("checkpoint_exactness", valuesOf(Exactness));
export const costStage = pgEnum("cost_stage", COST_STAGES);
export const attemptOutcome = pgEnum("attempt_outcome", [
  "completed",
  "failed",
  "stopped",
  "lost", // the runner died, fell silent or did not take the work
]);

type JobColumn =
  | "artifactKey"
  | "devices"
  | "errorCode"
  | "finishedAt"
  | "firstStep"
  | "leaseExpiresAt"
  | "moderateAt"
  | "progress"
  | "promotableUntil"
  | "promotedFromVideoId"
  | "runnerId"
  | "slot"
  | "state"
  | "steps"
  | "stepsDone"
  | "stopAfter";

/** As in `core/job.ts`. */
function rulesOf(table: Record<JobColumn, AnyPgColumn>) {
  return [
    check(
      "job_leased_iff_on_runner",
      sql`(${table.state} in ('starting', 'running', 'uploading', 'cancelling')) = (${table.runnerId} is not null)
        and (${table.runnerId} is null) = (${table.leaseExpiresAt} is null)
        and (${table.runnerId} is null) = (${table.devices} is null)`,
    ),
    check(
      "job_slot_of_one_device",
      sql`${table.slot} is null or (${table.runnerId} is not null and cardinality(${table.devices}) = 1)`,
    ),
    check(
      "job_finished_iff_terminal",
      sql`(${table.state} in ('completed', 'failed', 'cancelled')) = (${table.finishedAt} is not null)`,
    ),
    check("job_progress_full_iff_completed", sql`(${table.progress} = 100) = (${table.state} = 'completed')`),
    // As text: a value of an enum cannot be used in the migration that adds it.
    check(
      "job_artifact_if_rendered",
      sql`case when ${table.state}::text in ('completed', 'moderating') then ${table.artifactKey} is not null
        when ${table.state} in ('failed', 'cancelled') then true else ${table.artifactKey} is null end`,
    ),
    check(
      "job_moderated_iff_moderating",
      sql`(${table.state}::text = 'moderating') = (${table.moderateAt} is not null)`,
    ),
    check("job_error_iff_failed", sql`(${table.state} in ('failed', 'cancelled')) = (${table.errorCode} is not null)`),
    check(
      "job_progress_in_range",
      sql`${table.progress} between 0 and 100
        and ${table.stepsDone} between 0 and coalesce(${table.stopAfter}, ${table.steps})`,
    ),
    check(
      "job_does_some_of_its_steps",
      sql`${table.firstStep} >= 0 and ${table.firstStep} < coalesce(${table.stopAfter}, ${table.steps})
        and (${table.stopAfter} is null or ${table.stopAfter} < ${table.steps})
        and (${table.firstStep} > 0) = (${table.promotedFromVideoId} is not null)`,
    ),
    check(
      "job_promotable_iff_completed_draft",
      sql`(${table.promotableUntil} is not null) = (${table.stopAfter} is not null and ${table.state} = 'completed')`,
    ),
  ];
}

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
    remixedFromVideoId: text("remixed_from_video_id")
      .$type<VideoId>()
      .references((): AnyPgColumn => job.id),
    /** The completed draft whose rest it is, and how many steps that one paid for. */
    promotedFromVideoId: text("promoted_from_video_id")
      .$type<VideoId>()
      .references((): AnyPgColumn => job.id),
    firstStep: integer("first_step").notNull().default(0),
    /** Set on a draft: it ends after so many of its steps. */
    stopAfter: integer("stop_after"),
    price: amount("price").notNull(),
    gpuMs: integer("gpu_ms").$type<GpuMillis>().notNull(),

    state: jobState().notNull().default("queued"),
    progress: integer().notNull().default(0),
    /** The engine that it runs on, or ran on last, sees no steps. */
    progressEstimated: boolean("progress_estimated").notNull().default(false),
    stepsDone: integer("steps_done").notNull().default(0),
    epoch: integer().notNull().default(0),
    attempts: integer().notNull().default(0),
    preemptions: integer().notNull().default(0),
    runnerDeaths: integer("runner_deaths").notNull().default(0),
    engineFailures: integer("engine_failures").notNull().default(0),
    runAlone: boolean("run_alone").notNull().default(false),
    runnerId: text("runner_id").$type<RunnerId>(),
    devices: text().array().$type<DeviceId[]>(),
    /** Of the one device; null takes the devices whole. */
    slot: integer(),
    leaseExpiresAt: moment("lease_expires_at"),
    notBefore: moment("not_before"),
    avoidRunnerId: text("avoid_runner_id").$type<RunnerId>(),

    createdAt: moment("created_at").notNull().defaultNow(),
    startedAt: moment("started_at"),
    finishedAt: moment("finished_at"),
    startDeadlineAt: moment("start_deadline_at"),
    deadlineAt: moment("deadline_at").notNull(),
    expiresAt: moment("expires_at"),
    /** Of a completed draft. */
    promotableUntil: moment("promotable_until"),
    deletedAt: moment("deleted_at"),

    errorCode: jobErrorCode("error_code"),
    errorMessage: text("error_message"),
    errorFault: jobFault("error_fault"),
    artifactKey: text("artifact_key"),
    artifactSha256: text("artifact_sha256").$type<Sha256Hex>(),
    artifactBytes: bigint("artifact_bytes", { mode: "bigint" }),
    latentsSha256: text("latents_sha256"),
    framesSha256: text("frames_sha256"),
    /** When its file was taken out of the store, because it expired or was deleted. */
    artifactRemovedAt: moment("artifact_removed_at"),

    /** The version of the policy by which the moderation hook let the prompt through, and judged the result. */
    promptPolicy: text("prompt_policy"),
    resultPolicy: text("result_policy"),
    /** While its result waits for a verdict: when to ask, and how often nobody answered. */
    moderateAt: moment("moderate_at"),
    moderationTries: integer("moderation_tries").notNull().default(0),
  },
  (table) => [
    foreignKey({ columns: [table.model, table.class], foreignColumns: [modelClass.model, modelClass.name] }),
    unique("job_one_per_create_key").on(table.accountId, table.createKey),
    index("job_by_account").on(table.accountId, table.createdAt, table.id),
    /** A live session starts with them, however long the account's history is. */
    index("job_unfinished_by_account")
      .on(table.accountId, table.createdAt, table.id)
      .where(sql`${table.finishedAt} is null`),
    index("job_result_to_expire")
      .on(table.expiresAt)
      .where(
        sql`${table.artifactKey} is not null and ${table.artifactRemovedAt} is null and ${table.expiresAt} is not null`,
      ),
    index("job_result_of_a_deleted_one")
      .on(table.deletedAt)
      .where(
        sql`${table.artifactKey} is not null and ${table.artifactRemovedAt} is null and ${table.deletedAt} is not null`,
      ),
    index("job_by_lease_end")
      .on(table.leaseExpiresAt)
      .where(sql`${table.leaseExpiresAt} is not null`),
    index("job_by_deadline")
      .on(table.deadlineAt)
      .where(sql`${table.finishedAt} is null`),
    index("job_by_start_deadline")
      .on(table.startDeadlineAt)
      .where(sql`${table.startDeadlineAt} is not null and ${table.startedAt} is null and ${table.finishedAt} is null`),
    index("job_to_moderate")
      .on(table.moderateAt)
      .where(sql`${table.moderateAt} is not null`),
    index("job_with_a_withheld_result")
      .on(table.id)
      .where(sql`${table.artifactKey} is not null and ${table.errorCode} is not null`),
    index("job_unfinished")
      .on(table.state)
      .where(sql`${table.finishedAt} is null`),
    ...rulesOf(table),
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
    /** Whose pace this was: build of the engine, kind of GPU, devices. */
    build: text().notNull().default(""),
    gpu: text().notNull().default("none"),
    k: integer().notNull().default(1),
    startedAt: moment("started_at").notNull().defaultNow(),
    endedAt: moment("ended_at"),
    outcome: attemptOutcome(),
  },
  (table) => [
    primaryKey({ columns: [table.jobId, table.epoch] }),
    uniqueIndex("attempt_one_open_per_job")
      .on(table.jobId)
      .where(sql`${table.endedAt} is null`),
    index("attempt_by_end").on(table.endedAt),
    index("attempt_by_start").on(table.startedAt),
    check("attempt_ended_has_outcome", sql`(${table.endedAt} is null) = (${table.outcome} is null)`),
  ],
);

/** How long each whole stage of an attempt was declared to take, and took: what estimates are corrected by. */
export const attemptStage = pgTable(
  "attempt_stage",
  {
    jobId: text("job_id").notNull(),
    epoch: integer().notNull(),
    stage: costStage().notNull(),
    predictedMs: integer("predicted_ms").notNull(),
    actualMs: integer("actual_ms").notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.jobId, table.epoch, table.stage] }),
    foreignKey({ columns: [table.jobId, table.epoch], foreignColumns: [attempt.jobId, attempt.epoch] }),
    check("attempt_stage_takes_time", sql`${table.predictedMs} >= 0 and ${table.actualMs} >= 0`),
  ],
);

/** What a leased job holds of its devices: a slot is held once. A job that takes a device whole holds all its slots. */
export const deviceClaim = pgTable(
  "device_claim",
  {
    runnerId: text("runner_id").$type<RunnerId>().notNull(),
    device: text().$type<DeviceId>().notNull(),
    slot: integer().notNull(),
    jobId: text("job_id")
      .notNull()
      .references(() => job.id),
  },
  (table) => [
    primaryKey({ columns: [table.runnerId, table.device, table.slot] }),
    index("device_claim_by_job").on(table.jobId),
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
    /** More than one job's, where a draft was promoted: the file goes with the last of them. */
    storeKey: text("store_key").notNull(),
    /** The draft whose attempt wrote it; null: the job's own. */
    writtenFor: text("written_for").$type<VideoId>(),
    sha256: text().notNull(),
    bytes: bigint({ mode: "bigint" }).notNull(),
    exactness: checkpointExactness().notNull(),
    /** A runner could not go on from it: an older one is tried. */
    unusable: boolean().notNull().default(false),
    createdAt: moment("created_at").notNull().defaultNow(),
  },
  (table) => [
    primaryKey({ columns: [table.jobId, table.epoch, table.step] }),
    index("checkpoint_by_file").on(table.storeKey),
  ],
);
