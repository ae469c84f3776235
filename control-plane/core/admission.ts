/**
 * May this request enter, and as what? Checks a parsed create against the model's data and fixes class, price and
 * everything the runner needs. Credits and the queue cap are checked by the submit statement, under lock.
 */
import type { CreateVideo } from "#protocol/create-video.ts";
import { SIZE_OF } from "#protocol/create-video.ts";
import { RETRY_AFTER_SECONDS_MAX } from "#protocol/error.ts";
import type { Refusal } from "#protocol/error.ts";
import { ceilDiv, creditsText, GpuMillis, milliCredits } from "#protocol/unit.ts";
import type { MilliCredits } from "#protocol/unit.ts";
import { classOf } from "./model.ts";
import type { Model } from "./model.ts";

/** Jobs that may wait in all, over all accounts: what a leader holds in memory and a new one loads within its lease. */
export const QUEUED_JOBS_MAX = 1_000_000;
/** When to come again, where nobody knows when there will be room. */
const ROOM_UNKNOWN_S = RETRY_AFTER_SECONDS_MAX;

/** The terms a job is admitted on; fixed from here to its end. */
export interface Terms {
  readonly model: string;
  readonly class: string;
  readonly size: string;
  readonly fps: number;
  readonly seconds: number;
  readonly steps: number;
  /** Done, and paid for, by the draft that it goes on from. */
  readonly firstStep: number;
  /** Of a draft: it ends after so many. */
  readonly stopAfter: number | null;
  readonly seed: number;
  readonly price: MilliCredits;
  readonly gpuMs: GpuMillis;
}

export type Admission =
  | { readonly ok: true; readonly terms: Terms }
  | { readonly ok: false; readonly refusal: Refusal };

/** What is known of the queue; null where nobody knows. */
export interface Load {
  readonly queued: number;
  /** Fair charge of all that waits, and how much may. */
  readonly queuedGpuS: number;
  readonly queuedGpuSMax: number;
  /** When a job of the same tier and class would start that came now. */
  readonly predictedStartS: number | null;
  /** In nine of ten cases not later than this. */
  readonly predictedStartP90S: number | null;
}

/** What the account already has, and the bounds of its tier. */
export interface Quota {
  readonly tier: string;
  readonly queued: number;
  readonly queuedMax: number;
  readonly startBoundS: number;
}

/** What the account can spend does not cover the price. */
export function unaffordable(price: bigint, spendable: bigint): Refusal {
  const [required, available] = [creditsText(price), creditsText(spendable)];
  return {
    code: "insufficient_credits",
    message: `This video costs ${required} credits; ${available} are available.`,
    numbers: { required, available },
  };
}

/**
 * The first bound that another job would break: the account's own queue, its tier's start, the whole queue by number and by
 * GPU time. `chance`, in [0, 1), spreads when those who are refused come again.
 */
export function overload(quota: Quota, load: Load, chance: number): Refusal | null {
  const { predictedStartS: startS, queued, queuedGpuS, queuedGpuSMax } = load;
  const refusal = { code: "queue_full", retryAfterSeconds: comeAgainS(startS, chance) } as const;
  if (quota.queued >= quota.queuedMax) {
    return {
      ...refusal,
      message: `Tier '${quota.tier}' queues at most ${quota.queuedMax} videos; ${quota.queued} are waiting.`,
      numbers: { queued: quota.queued, limit: quota.queuedMax },
    };
  }
  if (startS !== null && startS > quota.startBoundS) {
    return {
      ...refusal,
      message: `This video would start in about ${startS} s; tier '${quota.tier}' queues no video that starts later than ${quota.startBoundS} s from now.`,
      numbers: { predicted_start_seconds: startS, start_bound_seconds: quota.startBoundS },
    };
  }
  if (queued >= QUEUED_JOBS_MAX) {
    return {
      ...refusal,
      message: `${queued} videos are waiting in all; at most ${QUEUED_JOBS_MAX} may.`,
      numbers: { queued, limit: QUEUED_JOBS_MAX },
    };
  }
  if (queuedGpuS < queuedGpuSMax) return null;
  return {
    ...refusal,
    message: `${queuedGpuS} GPU-seconds of videos are waiting in all; at most ${queuedGpuSMax} may.`,
    numbers: { queued_gpu_seconds: queuedGpuS, limit: queuedGpuSMax },
  };
}

/** Between half and all of the time until a video would start, and never longer than a client sleeps. */
function comeAgainS(startS: number | null, chance: number): number {
  const longestS = Math.min(RETRY_AFTER_SECONDS_MAX, Math.max(2, startS ?? ROOM_UNKNOWN_S));
  return Math.ceil((longestS / 2) * (1 + chance));
}

/** Of the steps, rounded up: by then the whole picture can be seen, and most of the cost is still to come. */
const DRAFT_SHARE = 0.25;

/** What a promote takes over from its draft, beside what the request says. */
export interface DraftTerms {
  readonly stopAfter: number;
  /** The model may have another one by now: the picture would be another one too. */
  readonly fps: number;
}

/**
 * `seed` is used if the request names none, so that every retry renders the same video. `draft`: the request is for the rest
 * of that one.
 */
export function admit(
  request: CreateVideo,
  model: Model | null,
  seed: number,
  draft: DraftTerms | null = null,
): Admission {
  if (model === null) {
    return refuse("unknown_model", "model", `The model '${request.model ?? ""}' does not exist.`);
  }
  const size = sizeOf(request) ?? model.defaultSize;
  const known = model.sizes.find((candidate) => candidate.size === size);
  if (known === undefined) {
    const param = request.resolution === undefined ? "size" : "resolution";
    const sizes = model.sizes.map((candidate) => candidate.size).join(", ");
    return refuse("unsupported_size", param, `Model '${model.name}' does not render ${size}. It renders: ${sizes}.`);
  }
  const seconds = request.seconds ?? model.secondsDefault;
  if (seconds < model.secondsMin || seconds > model.secondsMax) {
    const range = `${model.secondsMin} to ${model.secondsMax}`;
    return refuse("invalid_value", "seconds", `Invalid 'seconds': model '${model.name}' renders ${range} seconds.`);
  }
  const steps = request.steps ?? model.stepsDefault;
  if (steps > model.stepsMax) {
    return refuse("invalid_value", "steps", `Invalid 'steps': model '${model.name}' takes at most ${model.stepsMax}.`);
  }
  const priced = classOf(model, known.resolution, seconds);
  if (priced === null) {
    return refuse("unsupported_size", "seconds", `Model '${model.name}' has no price for ${size}, ${seconds} s.`);
  }
  const undraftable = request.draft === true ? noDraftOf(model, steps) : null;
  if (undraftable !== null) return refuse("unsupported_operation", "draft", undraftable);
  const firstStep = draft?.stopAfter ?? 0;
  const stopAfter = request.draft === true ? Math.ceil(steps * DRAFT_SHARE) : null;
  return {
    ok: true,
    terms: {
      model: model.name,
      class: priced.name,
      size,
      fps: draft?.fps ?? model.fps,
      seconds,
      steps,
      firstStep,
      stopAfter,
      seed: request.seed ?? seed,
      price: milliCredits(shareOf(priced.price, model, firstStep, stopAfter ?? steps)),
      gpuMs: GpuMillis.parse(Number(shareOf(BigInt(priced.gpuMs), model, firstStep, stopAfter ?? steps))),
    },
  };
}

/** Why this model makes no draft of so many steps; null if it does. */
function noDraftOf(model: Model, steps: number): string | null {
  if (model.resume !== "exact") return `Model '${model.name}' makes no drafts: its engine cannot go on from one.`;
  return steps < 2 ? "A video of a single step has no draft." : null;
}

/**
 * Of what the default steps cost, the part of those after `from` and up to `to`; more steps cost more, fewer less. The whole
 * is rounded up to a whole unit, and a draft and its rest cost as much as the whole.
 */
function shareOf(whole: bigint, { stepsDefault }: Model, from: number, to: number): bigint {
  const upTo = (steps: number) => ceilDiv(whole * BigInt(steps), BigInt(stepsDefault));
  const share = upTo(to) - upTo(from);
  return share > 0n ? share : 1n;
}

function sizeOf(request: CreateVideo): string | undefined {
  if (request.resolution === undefined) return request.size;
  return SIZE_OF[request.resolution][request.aspect_ratio ?? "16:9"];
}

function refuse(code: Refusal["code"], param: string, message: string): Admission {
  return { ok: false, refusal: { code, param, message } };
}
