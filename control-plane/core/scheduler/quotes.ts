/**
 * Why a job waits, how long still, and how many wait in front of it.
 *
 * A dry run is made when somebody asks and the last one is old; in between, and for jobs that it did not reach, forecasts
 * follow from it. How much later than forecast jobs start is learned from those that started, and makes the p90.
 */
import { dryRun } from "./dry-run.ts";
import type { DryWorld } from "./dry-run.ts";
import { Forecasts } from "./eta.ts";
import type { QueuedJob } from "./event.ts";
import { couldRun } from "./placement.ts";
import { WaitQuantile } from "./quantile.ts";
import { QuoteMemory } from "./quote-memory.ts";

/** Dispatches of one dry run: a few milliseconds, also with a million jobs waiting. */
export const DRY_RUN_MAX = 500;
const P90 = 0.9;
/** Runs are well known; this is what cold starts and slow devices may add. */
const RUN_P90_OVER_P50 = 1.2;

export type WaitReason = "account_concurrency" | "fair_share" | "no_runner" | "capacity" | "backoff";

/** Of a start, from now. */
export interface Quote {
  readonly p50Ms: number;
  readonly p90Ms: number;
}

export interface Explained {
  readonly position: number;
  /** Null if no runner that is up could ever run it. */
  readonly eta: {
    readonly startP50Ms: number;
    readonly startP90Ms: number;
    readonly finishP50Ms: number;
    readonly finishP90Ms: number;
  } | null;
  readonly blockedBy: WaitReason;
}

/** What a job that comes now would meet. */
export interface Outlook {
  readonly tier: string;
  readonly class: string;
  /** What waits there: jobs, and their fair charge. */
  readonly queued: number;
  readonly backlogMs: number;
  /** Null if no runner that is up could ever run it. */
  readonly start: Quote | null;
}

interface Look {
  readonly atMs: number;
  readonly world: DryWorld;
  readonly forecasts: Forecasts;
  /** Per class, whether any runner could run it. */
  readonly runnable: Map<string, boolean>;
}

export class Quotes {
  readonly #world: () => DryWorld;
  readonly #everyMs: () => number;
  readonly #quantile = new WaitQuantile(P90);
  readonly #memory = new QuoteMemory(this.#quantile);
  #look: Look | null = null;

  /** `world` is asked whenever a dry run is due: at most once in `everyMs`. */
  constructor(world: () => DryWorld, everyMs: () => number) {
    this.#world = world;
    this.#everyMs = everyMs;
  }

  /** Null if no runner could ever run it. */
  quote(job: QueuedJob, nowMs: number): Quote | null {
    const look = this.#lookAt(nowMs);
    if (!isRunnable(look, job.class)) return null;
    const p50Ms = Math.max(0, look.forecasts.of(job, nowMs).startMs - nowMs);
    this.#memory.told(job.id, p50Ms, nowMs);
    return { p50Ms, p90Ms: this.#quantile.boundMs(p50Ms) };
  }

  explain(job: QueuedJob, atCap: boolean, nowMs: number): Explained {
    const look = this.#lookAt(nowMs);
    const start = this.quote(job, nowMs);
    const { position, startMs, finishMs } = look.forecasts.of(job, nowMs);
    const runMs = finishMs - startMs;
    return {
      position,
      eta:
        start === null
          ? null
          : {
              startP50Ms: start.p50Ms,
              startP90Ms: start.p90Ms,
              finishP50Ms: start.p50Ms + runMs,
              finishP90Ms: start.p90Ms + runMs * RUN_P90_OVER_P50,
            },
      blockedBy: reasonOf(look, job, atCap, position, nowMs),
    };
  }

  /** Per tier and class, in their order: what a job of an account that has nothing else would meet. */
  outlooks(nowMs: number): readonly Outlook[] {
    const look = this.#lookAt(nowMs);
    return [...look.world.view.tiers.values()].flatMap((tier) =>
      [...look.world.classes.keys()].map((classId) => {
        const p50Ms = look.forecasts.newcomerMs(tier, classId, nowMs) - nowMs;
        return {
          tier: tier.terms.tier,
          class: classId,
          queued: tier.backlog.get(classId)?.jobs ?? 0,
          backlogMs: Math.max(0, tier.backlog.get(classId)?.chargeMs ?? 0),
          start: isRunnable(look, classId) ? { p50Ms, p90Ms: this.#quantile.boundMs(p50Ms) } : null,
        };
      }),
    );
  }

  started(job: string, nowMs: number): void {
    this.#memory.started(job, nowMs);
  }

  withdrawn(job: string): void {
    this.#memory.forget(job);
  }

  /** What was known of runners is wrong. */
  clusterChanged(): void {
    this.#look = null;
  }

  #lookAt(nowMs: number): Look {
    if (this.#look !== null && nowMs - this.#look.atMs < this.#everyMs()) return this.#look;
    const world = this.#world();
    const run = dryRun(world, nowMs, DRY_RUN_MAX);
    for (const [id, { startMs }] of run.starts) this.#memory.told(id, startMs - nowMs, nowMs);
    this.#look = { atMs: nowMs, world, forecasts: new Forecasts(run, world), runnable: new Map() };
    return this.#look;
  }
}

/** One reason: what has to change first before the job can start. */
function reasonOf(look: Look, job: QueuedJob, atCap: boolean, position: number, nowMs: number): WaitReason {
  if (job.notBeforeMs > nowMs) return "backoff";
  if (!isRunnable(look, job.class)) return "no_runner";
  if (atCap) return "account_concurrency";
  return look.forecasts.hasOthersAhead(job.account, position) ? "fair_share" : "capacity";
}

function isRunnable({ world, runnable }: Look, classId: string): boolean {
  return runnable.getOrInsertComputed(classId, () => {
    const jobClass = world.classes.get(classId);
    return jobClass !== undefined && couldRun(world.cluster, world.cost, jobClass, 1);
  });
}
