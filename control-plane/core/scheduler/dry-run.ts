/**
 * Plays the schedule forward without changing it: devices become free when their jobs are expected to end, accounts come
 * back from their caps, jobs from their backoff, and in fair order whatever fits starts.
 *
 * It ends after `limit` dispatches, when nobody waits, or when nothing more can start. Nobody new arrives in it, nobody
 * is pushed aside and nothing is reserved: what that costs is learned (`quantile.ts`).
 */
import type { Cluster } from "./cluster.ts";
import { DryDevices } from "./dry-devices.ts";
import type { DrySpot } from "./dry-devices.ts";
import { DryQueue } from "./dry-queue.ts";
import type { QueuedJob } from "./event.ts";
import type { FairView } from "./fair-state.ts";
import type { CostModel, JobClass } from "./job-class.ts";
import type { SchedulerLimits } from "./limits.ts";
import { TimeHeap } from "./time-heap.ts";

/** A job that overran its estimate is expected to end this much later, again and again. */
const OVERRUN_MS = 1_000;

export interface DryWorld {
  readonly view: FairView;
  readonly cluster: Cluster;
  readonly cost: CostModel;
  readonly classes: ReadonlyMap<string, JobClass>;
  readonly running: Iterable<{ readonly job: QueuedJob; readonly runner: string; readonly k: number }>;
  /** Share of GPU time that gangs may waste to be fast. */
  readonly slack: number;
  readonly limits: Pick<SchedulerLimits, "skipMs" | "passedMaxMs">;
  /** When a job whose turn it was first let another go before it. */
  readonly passedSinceMs: ReadonlyMap<string, number>;
}

export interface DryStart {
  readonly job: QueuedJob;
  /** Starts before it. */
  readonly position: number;
  readonly startMs: number;
  readonly finishMs: number;
  /** Where its tier's virtual time stood then. */
  readonly virtual: number;
}

export interface DryRun {
  readonly atMs: number;
  /** Until when it played. */
  readonly untilMs: number;
  /** In the order of their starts. */
  readonly starts: ReadonlyMap<string, DryStart>;
  readonly startsOfTier: ReadonlyMap<string, readonly DryStart[]>;
  /** Per account that runs something now or in the dry run, when each of that ends. */
  readonly endsOf: ReadonlyMap<string, readonly number[]>;
  readonly queue: DryQueue;
}

interface End {
  readonly t: "end";
  readonly job: QueuedJob;
  readonly runner: string;
  readonly k: number;
}

interface Candidate {
  readonly job: QueuedJob;
  readonly spot: DrySpot;
}

type Moment = End | { readonly t: "woke"; readonly job: QueuedJob };

export function dryRun(world: DryWorld, nowMs: number, limit: number): DryRun {
  return new Player(world, nowMs, limit).play();
}

class Player {
  readonly #world: DryWorld;
  readonly #queue: DryQueue;
  readonly #devices: DryDevices;
  readonly #limit: number;
  readonly #startedAtMs: number;
  readonly #moments = new TimeHeap<Moment>();
  readonly #starts = new Map<string, DryStart>();
  readonly #startsOfTier = new Map<string, DryStart[]>();
  readonly #endsOf = new Map<string, number[]>();
  readonly #passedSinceMs = new Map<string, number>();
  #nowMs: number;

  constructor(world: DryWorld, nowMs: number, limit: number) {
    this.#world = world;
    this.#queue = new DryQueue(world.view, world.cost);
    this.#devices = new DryDevices(world.cluster, world.cost, world.classes, world.slack);
    this.#limit = limit;
    this.#startedAtMs = nowMs;
    this.#nowMs = nowMs;
  }

  play(): DryRun {
    this.#expectEnds();
    this.#expectWakes();
    for (;;) {
      this.#startAll();
      const nextMs = this.#starts.size < this.#limit ? this.#moments.peekMs() : null;
      if (nextMs === null) break;
      this.#nowMs = Math.max(this.#nowMs, nextMs);
      this.#passMoments();
    }
    return {
      atMs: this.#startedAtMs,
      untilMs: this.#nowMs,
      starts: this.#starts,
      startsOfTier: this.#startsOfTier,
      endsOf: this.#endsOf,
      queue: this.#queue,
    };
  }

  /** Whatever fits now. */
  #startAll(): void {
    const blocked = new Set<string>();
    while (this.#starts.size < this.#limit && this.#devices.free > 0) {
      const spots: DrySpot[] = [];
      const job = this.#queue.next(blocked, (candidate) => {
        const spot = this.#devices.spotFor(candidate);
        if (spot !== null) spots.push(spot);
        return spot !== null;
      });
      const [spot] = spots;
      if (job === null || spot === undefined) return;
      const soonest = this.#soonest({ job, spot }, blocked);
      this.#start(soonest.job, soonest.spot, job);
    }
  }

  /** As the scheduler's: of those whose turn is near enough, the one that ends first. */
  #soonest(next: Candidate, blocked: ReadonlySet<string>): Candidate {
    const { skipMs, passedMaxMs } = this.#world.limits;
    const { id } = next.job;
    const passedSinceMs = this.#passedSinceMs.get(id) ?? this.#world.passedSinceMs.get(id) ?? this.#nowMs;
    if (skipMs === 0 || this.#nowMs - passedSinceMs >= passedMaxMs) return next;
    let best = next;
    for (const job of this.#queue.within(next.job, skipMs, blocked)) {
      const spot = job.id === id ? null : this.#devices.spotFor(job);
      if (spot !== null && spot.wallMs < best.spot.wallMs) best = { job, spot };
    }
    if (best !== next) this.#passedSinceMs.set(id, passedSinceMs);
    return best;
  }

  #start(job: QueuedJob, spot: DrySpot, first: QueuedJob): void {
    const { tier, virtual } = this.#queue.take(job, first);
    this.#devices.occupy(spot, job.weights);
    const startMs = this.#nowMs;
    const start = { job, position: this.#starts.size, startMs, finishMs: startMs + spot.wallMs, virtual };
    this.#starts.set(job.id, start);
    this.#startsOfTier.getOrInsertComputed(tier, () => []).push(start);
    this.#willEnd(start.finishMs, { t: "end", job, runner: spot.runner.id, k: spot.k });
  }

  #passMoments(): void {
    for (let dueMs = this.#moments.peekMs(); dueMs !== null && dueMs <= this.#nowMs; dueMs = this.#moments.peekMs()) {
      const moment = this.#moments.pop();
      if (moment?.t === "woke") this.#queue.woke(moment.job);
      if (moment?.t !== "end") continue;
      this.#queue.ended(moment.job.account);
      this.#devices.vacate(moment.runner, moment.k, moment.job.weights);
    }
  }

  #expectEnds(): void {
    const freeAtMs = new Map<string, number>();
    for (const { devices } of this.#world.cluster.runners) {
      for (const { tenancies } of devices) {
        for (const tenancy of tenancies) for (const job of tenancy.jobs) freeAtMs.set(job, tenancy.freeAtMs);
      }
    }
    for (const { job, runner, k } of this.#world.running) {
      const endMs = Math.max(freeAtMs.get(job.id) ?? this.#nowMs, this.#nowMs + OVERRUN_MS);
      this.#willEnd(endMs, { t: "end", job, runner, k });
    }
  }

  #expectWakes(): void {
    const { asleep, waiting } = this.#world.view;
    for (const { id, key } of asleep) {
      const job = waiting.get(id);
      if (job !== undefined) this.#moments.push(key, { t: "woke", job });
    }
  }

  #willEnd(endMs: number, end: End): void {
    this.#moments.push(endMs, end);
    this.#endsOf.getOrInsertComputed(end.job.account, () => []).push(endMs);
  }
}
