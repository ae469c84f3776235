/**
 * The scheduler: a synchronous reducer over one private world. Facts go in by `apply`, decisions come out of `decide`.
 *
 * A turn: 1. jobs whose backoff ended join their lines; 2. in fair order, whatever fits is placed; 3. the head that fairness
 * would have served, if it has waited long, reserves. The same state and time always give the same decisions.
 */
import { Cluster } from "./cluster.ts";
import type { Decision, Place, Policy, QueuedJob, SchedulerEvent } from "./event.ts";
import { explain } from "./explain.ts";
import type { Explained } from "./explain.ts";
import { FairQueue } from "./fair-queue.ts";
import type { CostModel, JobClass } from "./job-class.ts";
import { place } from "./placement.ts";
import { Reservations } from "./reservation.ts";

export interface SchedulerLimits {
  /** A blocked head reserves once it has waited this long. */
  readonly reserveAfterMs: number;
  /** GPU time that an idle cluster may waste to be fast; falls to 0 as the backlog grows. */
  readonly slackMax: number;
  /** Backlog per device at which gangs are as narrow as can be. */
  readonly fullBacklogMs: number;
}

export const DEFAULT_LIMITS: SchedulerLimits = { reserveAfterMs: 600_000, slackMax: 0.5, fullBacklogMs: 300_000 };

export class Scheduler implements Policy {
  readonly name = "callsheet";
  readonly #cost: CostModel;
  readonly #limits: SchedulerLimits;
  readonly #queue: FairQueue;
  readonly #cluster = new Cluster();
  readonly #reservations = new Reservations();
  readonly #classes = new Map<string, JobClass>();
  readonly #pending = new Map<string, Place>();

  constructor(cost: CostModel, limits: SchedulerLimits = DEFAULT_LIMITS) {
    this.#cost = cost;
    this.#limits = limits;
    this.#queue = new FairQueue(cost);
  }

  apply(event: SchedulerEvent, nowMs: number): void {
    switch (event.t) {
      case "tier":
        return this.#queue.setTier(event.terms);
      case "class":
        this.#classes.set(event.class.id, event.class);
        return;
      case "account":
        return this.#queue.setAccount(event.account, event.tier);
      case "runner_up":
        return this.#cluster.up(event.runner);
      case "runner_down":
        this.#reservations.dropRunner(event.runner);
        return this.#cluster.down(event.runner);
      case "queued":
        return this.#queue.add(event.job, nowMs);
      case "running":
        this.#queue.adopt(event.job);
        return this.#cluster.occupy({ ...event, estimateMs: this.#remainingMs(event.job) }, nowMs);
      case "withdrawn":
        this.#queue.withdraw(event.job);
        return this.#reservations.drop(event.job);
      case "ended":
        return this.#release(event.job, event.stepsRun);
      case "requeued":
        this.#release(event.job.id, event.stepsRun);
        return this.#queue.add(event.job, nowMs);
      case "committed":
        this.#pending.delete(event.job);
        return;
      case "refused":
        return this.#undo(event.job);
      default:
        return event satisfies never;
    }
  }

  decide(nowMs: number, limit: number): readonly Decision[] {
    this.#queue.wake(nowMs);
    const decisions: Place[] = [];
    const blocked = new Set<string>();
    let head: QueuedJob | null = null;
    while (decisions.length < limit && this.#cluster.freeCount > 0) {
      let found: Place | null = null;
      const { taken, skipped } = this.#queue.next(blocked, (job) => {
        found = this.#fit(job, nowMs);
        return found !== null;
      });
      head ??= skipped;
      if (taken === null || found === null) break;
      this.#take(found, nowMs);
      decisions.push(found);
    }
    this.#reserveFor(head, nowMs);
    return decisions;
  }

  nextWakeMs(): number | null {
    return this.#queue.nextWakeMs();
  }

  quote(): null {
    return null;
  }

  /** Position, ETA and reason of every waiting job, as far as the dry run goes. */
  explain(nowMs: number): ReadonlyMap<string, Explained> {
    return explain({ queue: this.#queue, cluster: this.#cluster, cost: this.#cost, classes: this.#classes }, nowMs);
  }

  waitingOf(account: string): readonly string[] {
    return this.#queue.waitingOf(account);
  }

  #remainingMs(job: QueuedJob): number {
    return this.#cost.chargeMs(job.class, Math.max(1, job.steps - job.stepsDone));
  }

  #fit(job: QueuedJob, nowMs: number): Place | null {
    const jobClass = this.#classes.get(job.class);
    if (jobClass === undefined) return null;
    return place(this.#cluster, this.#cost, {
      job,
      class: jobClass,
      nowMs,
      slack: this.#slack(),
      allows: (runner, k, endMs) => this.#reservations.allows(runner, job.id, k, endMs, nowMs),
    });
  }

  #slack(): number {
    const devices = this.#cluster.deviceCount;
    if (devices === 0) return 0;
    const load = this.#queue.backlogMs / devices / this.#limits.fullBacklogMs;
    return this.#limits.slackMax * Math.max(0, 1 - load);
  }

  #take(found: Place, nowMs: number): void {
    this.#queue.take(found.job.id);
    this.#cluster.occupy(found, nowMs);
    this.#reservations.drop(found.job.id);
    this.#pending.set(found.job.id, found);
  }

  #release(job: string, stepsRun: number): void {
    this.#pending.delete(job);
    this.#queue.settle(job, stepsRun);
    this.#cluster.vacate(job);
  }

  #undo(job: string): void {
    if (!this.#pending.delete(job)) return;
    this.#queue.untake(job);
    this.#cluster.vacate(job);
  }

  #reserveFor(head: QueuedJob | null, nowMs: number): void {
    if (head === null || nowMs - head.submittedAtMs < this.#limits.reserveAfterMs) return;
    const jobClass = this.#classes.get(head.class);
    if (jobClass !== undefined) this.#reservations.reserve(this.#cluster, this.#cost, head, jobClass, nowMs);
  }
}
