/** One simulated job: what was asked, what is done, and the attempt that runs now. */
import type { CostModel } from "#control-plane/core/scheduler/job-class.ts";
import type { Place, QueuedJob } from "#control-plane/core/scheduler/event.ts";
import type { VideoId } from "#protocol/id.ts";
import { invariant } from "#protocol/invariant.ts";

export interface Run {
  readonly runner: string;
  readonly devices: readonly string[];
  readonly k: number;
  readonly slot: number | null;
  /** The first job of those that run together, and how many they are. */
  readonly batch: string | null;
  readonly batchSize: number;
  /** True over estimated time of its work. */
  readonly factor: number;
  readonly startMs: number;
  /** True loading time before the first step. */
  readonly loadMs: number;
  readonly stepMs: number;
  /** Decode and whatever else follows the last step. */
  readonly tailMs: number;
  /** Steps this attempt sets out to do. */
  readonly planned: number;
  /** It can be stopped after each so many steps. */
  readonly stride: number;
  readonly chargeMs: number;
  stopping: boolean;
}

export interface Quote {
  readonly atMs: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
}

export interface SimJob {
  readonly id: string;
  /** The same as the runners' protocol knows it. */
  readonly videoId: VideoId;
  readonly account: string;
  readonly tier: string;
  readonly class: string;
  readonly weights: string;
  readonly steps: number;
  readonly fails: boolean;
  readonly seq: number;
  readonly submittedAtMs: number;
  readonly workFactor: number;
  readonly resumes: boolean;
  readonly stride: number;
  stepsDone: number;
  epoch: number;
  preemptions: number;
  /** The last attempt was cut short, so loading its weights again is waste. */
  interrupted: boolean;
  run: Run | null;
  /** Newest first; at most two. */
  quotes: readonly Quote[];
}

export function asQueued(job: SimJob): QueuedJob {
  return {
    id: job.id,
    account: job.account,
    class: job.class,
    weights: job.weights,
    steps: job.steps,
    stepsDone: job.stepsDone,
    seq: job.seq,
    submittedAtMs: job.submittedAtMs,
    notBeforeMs: 0,
    preemptions: job.preemptions,
    avoid: null,
  };
}

interface Start {
  readonly place: Place;
  readonly gpu: string;
  readonly cold: boolean;
  readonly batchSize: number;
  /** True over estimated time of its work. */
  readonly factor: number;
  readonly startMs: number;
}

/** The attempt as it will really go. */
export function newRun(job: SimJob, cost: CostModel, { place, gpu, cold, batchSize, factor, startMs }: Start): Run {
  const planned = Math.max(1, job.steps - job.stepsDone);
  const [whole, one, two] = [planned, 1, 2].map((steps) => cost.runMs(job.class, gpu, place.k, steps, batchSize));
  invariant(whole !== null && whole !== undefined, `class ${job.class} runs on ${place.k} x ${gpu}`);
  const stepMs = Math.min(Math.max(0, (two ?? whole) - (one ?? 0)), whole / planned);
  return {
    runner: place.runner,
    devices: place.devices,
    k: place.k,
    slot: place.slot,
    batch: place.batch,
    batchSize,
    factor,
    startMs,
    loadMs: cold ? cost.loadMs(job.class, gpu) : 0,
    stepMs: stepMs * factor,
    tailMs: (whole - stepMs * planned) * factor,
    planned,
    stride: job.stride,
    chargeMs: cost.chargeMs(job.class, planned, batchSize),
    stopping: false,
  };
}

/** Steps kept if the attempt is cut off: those up to the last boundary that has passed. */
export function stepsKeptAt(run: Run, atMs: number): number {
  const elapsed = atMs - run.startMs - run.loadMs;
  if (elapsed < 0) return 0;
  const done = run.stepMs === 0 ? run.planned : Math.floor(elapsed / run.stepMs + 1e-9);
  return Math.min(run.planned, done - (done % run.stride));
}

/** The next step after which the attempt can be stopped. */
export function nextBoundary(run: Run, atMs: number): number {
  return atMs < run.startMs + run.loadMs ? 0 : stepsKeptAt(run, atMs) + run.stride;
}

export function boundaryMs(run: Run, step: number): number {
  return Math.ceil(run.startMs + run.loadMs + step * run.stepMs);
}

export function finishMs(run: Run): number {
  return Math.max(run.startMs + 1, Math.ceil(boundaryMs(run, run.planned) + run.tailMs));
}
