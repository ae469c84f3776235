/**
 * The public Video object: OpenAI's thirteen fields unchanged, plus `metadata`, `scheduler` and `usage`.
 *
 * `status` keeps OpenAI's four values; the fine state is `scheduler.state`. `progress` never falls, also across
 * preemption and retry, and is 100 only when `completed`.
 */
import { z } from "zod";
import { VideoId } from "./id.ts";
import { queryNumber } from "./query-number.ts";
import { CreditsText } from "./unit.ts";

export const VideoStatus = z.enum(["queued", "in_progress", "completed", "failed"]);
export type VideoStatus = z.infer<typeof VideoStatus>;

/** The life of a job; `docs/job-lifecycle.md` draws it. */
export const JobState = z.enum([
  "queued", // waits for a device
  "starting", // a lease was sent to a runner, nothing rendered yet
  "running", // steps are arriving
  "uploading", // rendered; the MP4 is on its way to the store
  "moderating", // in the store, off its runner; the moderation hook has not judged it yet
  "preempted", // gave its device back at a step boundary; waits, with a checkpoint
  "retrying", // lost its runner; waits, with a checkpoint if there is one
  "cancelling", // asked to stop; the runner has not confirmed yet
  "completed",
  "failed",
  "cancelled",
]);
export type JobState = z.infer<typeof JobState>;

/** What `scheduler.state` says: a job that waits only because its account runs all it may is `throttled`. */
export const SchedulerState = z.enum([...JobState.options, "throttled"]);
export type SchedulerState = z.infer<typeof SchedulerState>;

export const STATUS_OF = {
  queued: "queued",
  starting: "in_progress",
  running: "in_progress",
  uploading: "in_progress",
  moderating: "in_progress",
  preempted: "in_progress",
  retrying: "in_progress",
  cancelling: "in_progress",
  completed: "completed",
  failed: "failed",
  cancelled: "failed",
} as const satisfies Record<JobState, VideoStatus>;

export const JobErrorCode = z.enum([
  "cancelled",
  "engine_failed",
  "runner_crashed",
  "runner_out_of_memory",
  "retries_exhausted",
  "deadline_exceeded",
  "start_deadline_exceeded",
  "invalid_input_reference",
  "content_policy_violation",
  "moderation_unavailable",
]);
export type JobErrorCode = z.infer<typeof JobErrorCode>;

export const VideoError = z.object({
  code: JobErrorCode,
  message: z.string(),
  retryable: z.boolean(),
  /** Decides who pays: a `platform` fault is never charged. */
  fault: z.enum(["user", "platform"]),
});

export const BlockedBy = z.enum(["account_concurrency", "fair_share", "no_runner", "capacity", "backoff"]);
export type BlockedBy = z.infer<typeof BlockedBy>;

/** Seconds from now. */
export const Eta = z.object({
  start_p50: z.int().nonnegative(),
  start_p90: z.int().nonnegative(),
  finish_p50: z.int().nonnegative(),
  finish_p90: z.int().nonnegative(),
});
export type Eta = z.infer<typeof Eta>;

export const Scheduler = z.object({
  state: SchedulerState,
  tier: z.string(),
  class: z.string(),
  /** Jobs ahead under the current policy; null unless waiting. */
  position: z.int().nonnegative().nullable(),
  eta: Eta.nullable(),
  blocked_by: BlockedBy.nullable(),
  attempts: z.int().nonnegative(),
  preemptions: z.int().nonnegative(),
  queued_at: z.int(),
  started_at: z.int().nullable(),
  /** True where the engine says nothing until it is done: `progress` is then by how long such videos took before. */
  progress_estimated: z.boolean(),
  /** Of a draft: after how many of its steps it ends, and until when it may be promoted (null: it is not completed). */
  draft: z
    .object({ steps: z.int().positive(), of: z.int().positive(), promotable_until: z.int().nullable() })
    .nullable(),
  /** The draft that it is the rest of. */
  promoted_from_video_id: z.string().nullable(),
  /** What the create asked for; null if it asked for nothing. */
  start_deadline_at: z.int().nullable(),
  deadline_at: z.int(),
});

export const Usage = z.object({
  unit: z.literal("credits"),
  /** The price fixed at admission. Terminal: held = 0 and reserved = charged + released. */
  reserved: CreditsText,
  held: CreditsText,
  charged: CreditsText,
  released: CreditsText,
  /** Of what was charged, given back later. */
  refunded: CreditsText,
  /** What it reserved of which grant, in the order in which they pay. */
  lots: z.array(z.object({ grant_id: z.string(), amount: CreditsText })),
});

export const Video = z.object({
  id: VideoId,
  object: z.literal("video"),
  model: z.string(),
  status: VideoStatus,
  progress: z.int().min(0).max(100),
  created_at: z.int(),
  completed_at: z.int().nullable(),
  expires_at: z.int().nullable(),
  prompt: z.string().nullable(),
  size: z.string(),
  seconds: z.string(),
  remixed_from_video_id: z.string().nullable(),
  error: VideoError.nullable(),
  metadata: z.record(z.string(), z.string()),
  scheduler: Scheduler,
  usage: Usage,
});
export type Video = z.infer<typeof Video>;

export const VideoList = z.object({
  object: z.literal("list"),
  data: z.array(Video),
  first_id: VideoId.nullable(),
  last_id: VideoId.nullable(),
  has_more: z.boolean(),
});
export type VideoList = z.infer<typeof VideoList>;

export const VideoDeleted = z.object({
  id: VideoId,
  object: z.literal("video.deleted"),
  deleted: z.literal(true),
});
export type VideoDeleted = z.infer<typeof VideoDeleted>;

export const LIST_LIMIT_MAX = 100;
export const ListQuery = z.strictObject({
  limit: queryNumber(0, LIST_LIMIT_MAX).default(20),
  order: z.enum(["asc", "desc"]).default("desc"),
  after: VideoId.optional(),
});
export type ListQuery = z.infer<typeof ListQuery>;
