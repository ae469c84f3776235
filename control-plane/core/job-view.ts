/** How a stored job looks from outside: the public Video, the data of its events, the spec a runner gets. Pure. */
import type { VideoEventData } from "#protocol/event.ts";
import type { VideoStanding } from "#protocol/live-session.ts";
import type { RunSpec } from "#protocol/runner.ts";
import { creditsText } from "#protocol/unit.ts";
import type { MilliCredits } from "#protocol/unit.ts";
import { STATUS_OF } from "#protocol/video.ts";
import type { SchedulerState, Video } from "#protocol/video.ts";
import type { JobRecord } from "./job.ts";
import { PHASE_OF } from "./job.ts";

/** What the scheduler knows of a waiting job; all null for others, and where no leader is at hand. */
export interface Explanation {
  readonly position: number | null;
  readonly eta: Video["scheduler"]["eta"];
  readonly blockedBy: Video["scheduler"]["blocked_by"];
}

export const UNEXPLAINED: Explanation = { position: null, eta: null, blockedBy: null };
/** Of a new job of an account that runs as many as it may, before the scheduler has looked at it. */
export const THROTTLED: Explanation = { ...UNEXPLAINED, blockedBy: "account_concurrency" };

/** What a video reserved, and where it went; `lots` in the order in which they pay. */
export interface JobUsage {
  readonly reserved: bigint;
  readonly held: bigint;
  readonly charged: bigint;
  readonly released: bigint;
  readonly refunded: bigint;
  readonly lots: readonly { readonly grantId: string; readonly amount: bigint }[];
}

export function videoOf(job: JobRecord, usage: JobUsage, explanation: Explanation): Video {
  return {
    ...standingOf(job, explanation),
    object: "video",
    model: job.model,
    created_at: seconds(job.createdAt),
    expires_at: secondsOrNull(job.expiresAt),
    prompt: job.prompt,
    size: job.size,
    seconds: String(job.seconds),
    remixed_from_video_id: job.remixedFromVideoId,
    metadata: { ...job.metadata },
    usage: {
      unit: "credits",
      reserved: creditsText(usage.reserved),
      held: creditsText(usage.held),
      charged: creditsText(usage.charged),
      released: creditsText(usage.released),
      refunded: creditsText(usage.refunded),
      lots: usage.lots.map(({ grantId, amount }) => ({ grant_id: grantId, amount: creditsText(amount) })),
    },
  };
}

/** What of a video changes while it is made. */
export function standingOf(job: JobRecord, explanation: Explanation): VideoStanding {
  return {
    id: job.id,
    status: STATUS_OF[job.state],
    progress: job.progress,
    completed_at: job.state === "completed" ? secondsOrNull(job.finishedAt) : null,
    error: errorOf(job),
    scheduler: {
      state: schedulerStateOf(job, explanation),
      tier: job.tier,
      class: job.class,
      position: explanation.position,
      eta: explanation.eta,
      blocked_by: explanation.blockedBy,
      attempts: job.attempts,
      preemptions: job.preemptions,
      queued_at: seconds(job.createdAt),
      started_at: secondsOrNull(job.startedAt),
      progress_estimated: job.progressEstimated,
      draft: draftOf(job),
      promoted_from_video_id: job.promotedFromVideoId,
      start_deadline_at: secondsOrNull(job.startDeadlineAt),
      deadline_at: seconds(job.deadlineAt),
    },
  };
}

function draftOf({ stopAfter, steps, promotableUntil }: JobRecord): VideoStanding["scheduler"]["draft"] {
  if (stopAfter === null) return null;
  return { steps: stopAfter, of: steps, promotable_until: secondsOrNull(promotableUntil) };
}

/** One that has run before says so, throttled or not: `blocked_by` tells the rest. */
function schedulerStateOf({ state }: JobRecord, { blockedBy }: Explanation): SchedulerState {
  return state === "queued" && blockedBy === "account_concurrency" ? "throttled" : state;
}

/** `charged` is what the settled hold captured; null while the hold is open. */
export function eventDataOf(job: JobRecord, charged: bigint | null): VideoEventData {
  return {
    id: job.id,
    status: STATUS_OF[job.state],
    progress: job.progress,
    state: job.state,
    error: errorOf(job),
    usage: usageOf(job, charged),
  };
}

/** The data of a job's first event, but for the id, which the database gives it. */
export function queuedDataOf(price: MilliCredits): Omit<VideoEventData, "id"> {
  const job = { state: "queued", price } as const;
  return { status: STATUS_OF.queued, progress: 0, state: job.state, error: null, usage: usageOf(job, null) };
}

export function runSpecOf(job: JobRecord, referenceUrl: string | null): RunSpec {
  const [width, height] = job.size.split("x").map(Number);
  return {
    model: job.model,
    prompt: job.prompt,
    negative_prompt: job.negativePrompt,
    width: width ?? 0,
    height: height ?? 0,
    fps: job.fps,
    frames: job.fps * job.seconds,
    steps: job.steps,
    seed: Number(job.seed),
    stop_after: job.stopAfter,
    reference:
      referenceUrl === null || job.referenceSha256 === null || job.referenceMediaType === null
        ? null
        : { url: referenceUrl, sha256: job.referenceSha256, media_type: job.referenceMediaType },
  };
}

function usageOf(job: Pick<JobRecord, "state" | "price">, charged: bigint | null): VideoEventData["usage"] {
  const open = PHASE_OF[job.state] !== "ended";
  const captured = charged ?? 0n;
  return {
    unit: "credits",
    reserved: creditsText(job.price),
    held: creditsText(open ? job.price : 0n),
    charged: creditsText(captured),
    released: creditsText(open ? 0n : job.price - captured),
  };
}

function errorOf(job: JobRecord): Video["error"] {
  if (job.errorCode === null || job.errorFault === null) return null;
  return {
    code: job.errorCode,
    message: job.errorMessage ?? "",
    // Whoever set the deadline: at another time it may be met.
    retryable: job.errorFault === "platform" || job.errorCode.endsWith("deadline_exceeded"),
    fault: job.errorFault,
  };
}

function seconds(moment: Date): number {
  return Math.floor(moment.getTime() / 1_000);
}

function secondsOrNull(moment: Date | null): number | null {
  return moment === null ? null : seconds(moment);
}
