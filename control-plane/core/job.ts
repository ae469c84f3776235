/**
 * The life of a job and the one function that moves it: `step(job, event, load)`.
 *
 * waiting (queued, preempted, retrying) → leased (starting, running, uploading, cancelling) → ended (completed, failed,
 * cancelled), and between the last two, where the operator has a moderation hook, withheld (moderating): rendered, off its
 * runner, shown to nobody. A lease is named by its epoch; an event of another epoch is refused as `stale` and must change nothing.
 * Who pays is decided here too, so a transition and its settlement can never be stored apart.
 */
import { DEADLINE_SECONDS_MAX } from "#protocol/create-video.ts";
import type { VideoEventType } from "#protocol/event.ts";
import { Sha256Hex } from "#protocol/id.ts";
import type { AccountId, CreateKey, DeviceId, RunnerId, VideoId } from "#protocol/id.ts";
import { invariant } from "#protocol/invariant.ts";
import type { Artifact, RunError } from "#protocol/runner.ts";
import { milliCredits } from "#protocol/unit.ts";
import type { GpuMillis, MilliCredits } from "#protocol/unit.ts";
import type { JobErrorCode, JobState } from "#protocol/video.ts";
import type { RetryLoad } from "./retry-budget.ts";
import { afterLoss, afterRunError } from "./retry.ts";
import type { Verdict } from "./retry.ts";
import { askAgainMs, MODERATION_TRIES_MAX } from "./moderation.ts";
import type { Verdict as Judgement } from "./moderation.ts";
import { chargeFor } from "./settlement.ts";

/** A job may live this long in all, queueing and retries included; a create may ask for less. */
export const JOB_DEADLINE_MS = DEADLINE_SECONDS_MAX * 1_000;

/** A job as it is stored; `db/schema/job.ts` ties its table to this type. */
export interface JobRecord {
  readonly id: VideoId;
  readonly accountId: AccountId;
  readonly createKey: CreateKey;
  readonly tier: string;
  readonly model: string;
  readonly class: string;
  readonly prompt: string;
  readonly negativePrompt: string;
  readonly size: string;
  readonly fps: number;
  readonly seconds: number;
  readonly steps: number;
  readonly seed: bigint;
  readonly metadata: Readonly<Record<string, string>>;
  readonly referenceSha256: Sha256Hex | null;
  readonly referenceMediaType: string | null;
  /** The video whose terms and seed it took over. */
  readonly remixedFromVideoId: VideoId | null;
  /** The draft whose rest it is, and how many steps that one paid for. */
  readonly promotedFromVideoId: VideoId | null;
  readonly firstStep: number;
  /** Of a draft: it ends after so many of its steps. */
  readonly stopAfter: number | null;
  readonly price: MilliCredits;
  readonly gpuMs: GpuMillis;
  readonly state: JobState;
  readonly progress: number;
  readonly progressEstimated: boolean;
  /** Denoise steps whose result is kept: they are never run again. */
  readonly stepsDone: number;
  readonly epoch: number;
  readonly attempts: number;
  readonly preemptions: number;
  readonly runnerDeaths: number;
  readonly engineFailures: number;
  /** A runner died with it and others aboard: it is not to share one until it is over. */
  readonly runAlone: boolean;
  readonly runnerId: RunnerId | null;
  readonly devices: readonly DeviceId[] | null;
  /** Of the one device; null takes the devices whole. */
  readonly slot: number | null;
  readonly leaseExpiresAt: Date | null;
  readonly notBefore: Date | null;
  /** The runner under which the last attempt broke; another one is preferred. */
  readonly avoidRunnerId: RunnerId | null;
  readonly createdAt: Date;
  readonly startedAt: Date | null;
  readonly finishedAt: Date | null;
  /** The account asked that it be started by then, or not at all. */
  readonly startDeadlineAt: Date | null;
  readonly deadlineAt: Date;
  readonly expiresAt: Date | null;
  readonly deletedAt: Date | null;
  /** Of a completed draft. */
  readonly promotableUntil: Date | null;
  readonly errorCode: JobErrorCode | null;
  readonly errorMessage: string | null;
  readonly errorFault: "user" | "platform" | null;
  readonly artifactKey: string | null;
  readonly artifactSha256: Sha256Hex | null;
  readonly artifactBytes: bigint | null;
  readonly latentsSha256: string | null;
  readonly framesSha256: string | null;
  readonly artifactRemovedAt: Date | null;
  /** By which version of the policy the prompt was let through, and the result judged; null: nobody judged. */
  readonly promptPolicy: string | null;
  readonly resultPolicy: string | null;
  /** While the result waits for a verdict: when to ask. */
  readonly moderateAt: Date | null;
  readonly moderationTries: number;
}

/** The step after which it is done. */
export function lastStepOf({ stopAfter, steps }: Pick<JobRecord, "stopAfter" | "steps">): number {
  return stopAfter ?? steps;
}

export type JobEvent =
  | {
      readonly kind: "finished";
      readonly epoch: number;
      readonly artifact: Artifact;
      readonly artifactKey: string;
      /** The result is judged before it is shown. Absent: it is shown at once. */
      readonly review?: boolean;
    }
  | { readonly kind: "judged"; readonly verdict: Judgement }
  /** The hook gave no verdict that can be read. */
  | { readonly kind: "unjudged" }
  | { readonly kind: "run_failed"; readonly epoch: number; readonly error: RunError }
  | {
      readonly kind: "stopped";
      readonly epoch: number;
      readonly why: "preempt" | "cancel" | "drain";
      readonly step: number;
    }
  /** `died`: the runner is gone or silent, with so many jobs aboard; `not_taken`: it never accepted the work, or (`refused`) said that it cannot. */
  | { readonly kind: "lost"; readonly epoch: number; readonly how: "died"; readonly aboard: number }
  | { readonly kind: "lost"; readonly epoch: number; readonly how: "not_taken"; readonly refused?: boolean }
  | { readonly kind: "cancel_requested" }
  | { readonly kind: "deadline_passed"; readonly which: Deadline };

/** `start`: nothing ran it within the tier's bounds; `asked_start`: within what the create asked; `total`: it was not finished in time. */
export type Deadline = "start" | "asked_start" | "total";

export type AttemptOutcome = "completed" | "failed" | "stopped" | "lost";

interface JobFailure {
  readonly code: JobErrorCode;
  readonly message: string;
  readonly fault: "user" | "platform";
}

/** What to store: everything a transition changes. Fields that stay are the record's. */
export type JobChange =
  | {
      readonly to: "completed";
      readonly event: "video.completed";
      /** Null: its attempt ended before the result was judged. */
      readonly attempt: "completed" | null;
      readonly charge: MilliCredits;
      readonly artifact: Artifact;
      readonly artifactKey: string;
      readonly policy: string | null;
    }
  | {
      readonly to: "moderating";
      readonly event: null;
      readonly attempt: "completed";
      readonly artifact: Artifact;
      readonly artifactKey: string;
      readonly stepsDone: number;
    }
  /** Still withheld: the hook is asked again. */
  | {
      readonly to: "asked_in_vain";
      readonly event: null;
      readonly attempt: null;
      readonly tries: number;
      readonly askAgainMs: number;
    }
  | {
      readonly to: "failed" | "cancelled";
      readonly event: "video.failed" | "video.cancelled";
      readonly attempt: AttemptOutcome | null;
      readonly charge: MilliCredits;
      /** What a cancelled job is charged for. */
      readonly stepsDone: number;
      readonly failure: JobFailure;
      readonly policy: string | null;
    }
  | {
      readonly to: "preempted" | "retrying";
      readonly event: Extract<VideoEventType, "video.preempted" | "video.retrying">;
      readonly attempt: AttemptOutcome;
      readonly runnerDeaths: number;
      readonly engineFailures: number;
      readonly runAlone: boolean;
      readonly preemptions: number;
      /** From the commit, by the database's clock. */
      readonly delayMs: number;
      readonly avoidRunner: RunnerId | null;
    }
  | { readonly to: "cancelling"; readonly event: null; readonly attempt: null };

export type Step =
  | { readonly ok: true; readonly change: JobChange }
  /** `stale`: the event's lease is over, or its result is not withheld any more. `ended`: nothing is left to change. */
  | { readonly ok: false; readonly refusal: "stale" | "ended" };

export type Phase = "waiting" | "leased" | "withheld" | "ended";

export const PHASE_OF = {
  queued: "waiting",
  preempted: "waiting",
  retrying: "waiting",
  starting: "leased",
  running: "leased",
  uploading: "leased",
  cancelling: "leased",
  moderating: "withheld",
  completed: "ended",
  failed: "ended",
  cancelled: "ended",
} as const satisfies Record<JobState, Phase>;

/** A runner that is busy with what we think is over says so with its next beat; until then it would be asked in vain, many times. */
const REFUSED_AGAIN_MS = 500;
const NOTHING = milliCredits(0n);
const STALE: Step = { ok: false, refusal: "stale" };

/** `load`: how many attempts broke lately, which spreads retries. */
export function step(job: JobRecord, event: JobEvent, load: RetryLoad): Step {
  const phase: Phase = PHASE_OF[job.state];
  if (phase === "ended") return { ok: false, refusal: "ended" };
  if ("epoch" in event && (phase !== "leased" || event.epoch !== job.epoch)) return STALE;
  switch (event.kind) {
    case "finished":
      // A result that arrives while the cancel is on its way wins: it was rendered and the user gets it.
      return event.review === true ? withheld(job, event) : completed(job, event, "completed", null);
    case "judged":
      return phase === "withheld" ? judged(job, event.verdict) : STALE;
    case "unjudged":
      return phase === "withheld" ? unjudged(job) : STALE;
    case "run_failed":
      if (job.state === "cancelling") return cancelled(job, "failed");
      return resolve(job, afterRunError(event.error, job, load), "failed");
    case "stopped":
      if (job.state === "cancelling") {
        return cancelled(
          { ...job, stepsDone: Math.max(job.stepsDone, Math.min(event.step, lastStepOf(job))) },
          "stopped",
        );
      }
      return waitAgain(job, event.why === "preempt" ? "preempted" : "retrying", "stopped");
    case "lost":
      if (job.state === "cancelling") return cancelled(job, "lost");
      return event.how === "not_taken"
        ? waitAgain(job, "retrying", "lost", event.refused === true ? REFUSED_AGAIN_MS : 0)
        : resolve(job, afterLoss(job, event.aboard, load), "lost");
    case "cancel_requested":
      if (job.state === "cancelling") return { ok: false, refusal: "ended" };
      return phase === "leased" ? done({ to: "cancelling", event: null, attempt: null }) : cancelled(job, null);
    case "deadline_passed":
      return pastDeadline(job, event.which, phase === "leased" ? "lost" : null);
    default:
      return event satisfies never;
  }
}

/**
 * A deadline that the account asked for is its own: it pays the done share, as if it had cancelled then, and what that releases
 * of an ended grant is not made good. Nobody burns a GPU free of charge up to a deadline.
 */
function pastDeadline(job: JobRecord, which: Deadline, attempt: AttemptOutcome | null): Step {
  if (which !== "total") {
    const message = "The video was not started before its deadline.";
    const fault = which === "asked_start" ? "user" : "platform";
    return failed(job, attempt, { code: "start_deadline_exceeded", message, fault });
  }
  const asked = job.deadlineAt.getTime() - job.createdAt.getTime() < JOB_DEADLINE_MS;
  const message = "The video was not finished before its deadline.";
  const failure = { code: "deadline_exceeded", message, fault: asked ? "user" : "platform" } as const;
  return failed(job, attempt, failure, null, asked ? doneShareOf(job) : NOTHING);
}

/** Of the steps that it was to do itself: those before are a draft's, who paid for them, even if they had to be done again. */
function doneShareOf(job: JobRecord): MilliCredits {
  const { price, stepsDone, firstStep } = job;
  return chargeFor(price, Math.max(0, stepsDone - firstStep), lastStepOf(job) - firstStep);
}

function done(change: JobChange): Step {
  return { ok: true, change };
}

function completed(
  job: JobRecord,
  { artifact, artifactKey }: { readonly artifact: Artifact; readonly artifactKey: string },
  attempt: "completed" | null,
  policy: string | null,
): Step {
  return done({
    to: "completed",
    event: "video.completed",
    attempt,
    charge: job.price,
    artifact,
    artifactKey,
    policy,
  });
}

/** Every step is done and kept: the result holds them. */
function withheld(job: JobRecord, { artifact, artifactKey }: Extract<JobEvent, { kind: "finished" }>): Step {
  return done({
    to: "moderating",
    event: null,
    attempt: "completed",
    artifact,
    artifactKey,
    stepsDone: lastStepOf(job),
  });
}

function judged(job: JobRecord, verdict: Judgement): Step {
  if (verdict.allowed) return completed(job, resultOf(job), null, verdict.policy);
  const message = `The video was withheld by the content policy (${verdict.reason}).`;
  return failed(job, null, { code: "content_policy_violation", message, fault: "user" }, verdict.policy);
}

function unjudged(job: JobRecord): Step {
  const tries = job.moderationTries + 1;
  if (tries < MODERATION_TRIES_MAX) {
    return done({ to: "asked_in_vain", event: null, attempt: null, tries, askAgainMs: askAgainMs(tries) });
  }
  const message = "The video could not be checked against the content policy, so it is not shown.";
  return failed(job, null, { code: "moderation_unavailable", message, fault: "platform" });
}

function resultOf({ artifactKey, artifactSha256, artifactBytes, latentsSha256, framesSha256 }: JobRecord) {
  invariant(artifactKey !== null && artifactSha256 !== null && artifactBytes !== null, "a withheld job has its result");
  const hashes = { latents_sha256: hashOrNull(latentsSha256), frames_sha256: hashOrNull(framesSha256) };
  return { artifactKey, artifact: { sha256: artifactSha256, bytes: Number(artifactBytes), ...hashes } };
}

function hashOrNull(text: string | null): Sha256Hex | null {
  return text === null ? null : Sha256Hex.parse(text);
}

function cancelled(job: JobRecord, attempt: AttemptOutcome | null): Step {
  return done({
    to: "cancelled",
    event: "video.cancelled",
    attempt,
    charge: doneShareOf(job),
    stepsDone: job.stepsDone,
    failure: { code: "cancelled", message: "The video was cancelled.", fault: "user" },
    policy: null,
  });
}

function failed(
  job: JobRecord,
  attempt: AttemptOutcome | null,
  failure: JobFailure,
  policy: string | null = null,
  charge = NOTHING,
): Step {
  const { stepsDone } = job;
  return done({ to: "failed", event: "video.failed", attempt, charge, stepsDone, failure, policy });
}

function resolve(job: JobRecord, verdict: Verdict, attempt: AttemptOutcome): Step {
  if (verdict.kind === "fail") return failed(job, attempt, verdict.failure);
  return done({
    to: "retrying",
    event: "video.retrying",
    attempt,
    runnerDeaths: verdict.runnerDeaths,
    engineFailures: verdict.engineFailures,
    runAlone: verdict.runAlone,
    preemptions: job.preemptions,
    delayMs: verdict.delayMs,
    avoidRunner: job.runnerId,
  });
}

/** Waits without blame: it was stopped on purpose, or never taken. */
function waitAgain(job: JobRecord, to: "preempted" | "retrying", attempt: AttemptOutcome, delayMs = 0): Step {
  invariant(PHASE_OF[job.state] === "leased", "only a leased job can wait again");
  return done({
    to,
    event: `video.${to}`,
    attempt,
    runnerDeaths: job.runnerDeaths,
    engineFailures: job.engineFailures,
    runAlone: job.runAlone,
    preemptions: job.preemptions + (to === "preempted" ? 1 : 0),
    delayMs,
    avoidRunner: attempt === "lost" ? job.runnerId : null,
  });
}
