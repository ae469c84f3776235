/**
 * The scheduler: a synchronous reducer over one private world. Facts go in by `apply`, decisions come out of `decide`.
 *
 * A turn: 1. jobs whose backoff ended join their lines; 2. jobs for which devices were kept take them; 3. in fair order,
 * whatever fits is placed, and of those that are nearly next the one that ends first; 4. the head that fairness would have
 * served, if it has waited long, pushes somebody aside or reserves. The same state and time always give the same decisions.
 */
import { batchOf } from "./batching.ts";
import { Cluster } from "./cluster.ts";
import type { DryWorld } from "./dry-run.ts";
import { remainingChargeMs } from "./event.ts";
import type { Decision, FairClock, Place, Policy, QueuedJob, SchedulerEvent } from "./event.ts";
import { FairQueue } from "./fair-queue.ts";
import { Fragmentation } from "./fragmentation.ts";
import type { CostModel, JobClass } from "./job-class.ts";
import { gangSlack, PRODUCTION_LIMITS } from "./limits.ts";
import type { SchedulerLimits } from "./limits.ts";
import { place } from "./placement.ts";
import { exchangeFor } from "./preemption.ts";
import type { RunningJob } from "./preemption.ts";
import { Quotes } from "./quotes.ts";
import type { Explained, Outlook, Quote } from "./quotes.ts";
import { Reservations } from "./reservation.ts";
import type { Reservation, Use } from "./reservation.ts";

const WASTE_BUCKET_MS = 3_600_000;
/** Resident weights that are looked at for a job that could go at once. */
const WARM_KINDS_MAX = 16;

export class Scheduler implements Policy {
  readonly name = "callsheet";
  readonly #cost: CostModel;
  #limits: SchedulerLimits;
  readonly #queue: FairQueue;
  readonly #cluster = new Cluster();
  readonly #reservations = new Reservations();
  readonly #classes = new Map<string, JobClass>();
  readonly #fragmentation = new Fragmentation(this.#classes);
  /** Placed, but not committed yet. */
  readonly #pending = new Set<string>();
  readonly #running = new Map<string, RunningJob>();
  /** GPU time that preemption may still waste; null until the first look. */
  #wasteLeftMs: number | null = null;
  #wasteAtMs = 0;
  /** When a job was first the head that nothing fitted. */
  readonly #blockedSinceMs = new Map<string, number>();
  #headDueMs: number | null = null;
  readonly #quotes: Quotes;
  /** When a job whose turn it was first let another go before it. */
  readonly #passedSinceMs = new Map<string, number>();

  constructor(cost: CostModel, limits: SchedulerLimits = PRODUCTION_LIMITS) {
    this.#cost = cost;
    this.#limits = limits;
    this.#queue = new FairQueue(cost);
    this.#quotes = new Quotes(
      () => this.#world(),
      () => this.#limits.dryRunEveryMs,
    );
  }

  get skipMs(): number {
    return this.#limits.skipMs;
  }

  apply(event: SchedulerEvent, nowMs: number): void {
    switch (event.t) {
      case "limits":
        this.#limits = event.limits;
        return;
      case "tier":
        return this.#queue.setTier(event.terms);
      case "class":
        this.#classes.set(event.class.id, event.class);
        return this.#fragmentation.forget();
      case "account":
        return this.#queue.setAccount(event.account, event.tier, event.tag);
      case "tier_clock":
        return this.#queue.setClock(event.clock);
      case "runner_up":
        this.#quotes.clusterChanged();
        return this.#cluster.up(event.runner);
      case "runner_down":
        this.#reservations.dropRunner(event.runner);
        this.#quotes.clusterChanged();
        return this.#cluster.down(event.runner);
      case "queued":
        this.#fragmentation.see(event.job.class);
        return this.#queue.add(event.job, nowMs);
      case "running":
        return this.#adopt(event, nowMs);
      case "progress":
        return this.#pace(event.job, event.stepsDone, nowMs);
      case "withdrawn":
        this.#queue.withdraw(event.job);
        this.#blockedSinceMs.delete(event.job);
        this.#quotes.withdrawn(event.job);
        this.#passedSinceMs.delete(event.job);
        return this.#reservations.drop(event.job);
      case "ended":
        return this.#release(event.job, event.stepsRun);
      case "requeued":
        this.#release(event.job.id, event.stepsRun);
        return this.#queue.add(event.job, nowMs);
      case "committed":
        this.#pending.delete(event.job);
        this.#queue.clockStored();
        return this.#quotes.started(event.job, nowMs);
      case "refused":
        this.#quotes.withdrawn(event.job);
        return this.#undo(event.job);
      default:
        return event satisfies never;
    }
  }

  decide(nowMs: number, limit: number): readonly Decision[] {
    this.#queue.wake(nowMs);
    const decisions: Decision[] = this.#claimKept(nowMs);
    const blocked = new Set<string>();
    let head: QueuedJob | null = null;
    while (decisions.length < limit) {
      let found: Place | null = null;
      const { taken, skipped } = this.#queue.next(blocked, (job) => {
        found = this.#fit(job, nowMs);
        return found !== null;
      });
      head ??= skipped;
      if (taken === null || found === null) break;
      found = this.#soonest(found, blocked, nowMs);
      const together = this.#batch(found, limit - decisions.length, nowMs);
      for (const member of together) this.#take(member, together.length, taken, nowMs);
      decisions.push(...together);
    }
    return [...decisions, ...this.#helpHead(head, nowMs)];
  }

  nextWakeMs(): number | null {
    const wakes = [this.#queue.nextWakeMs(), this.#headDueMs].filter((wake) => wake !== null);
    return wakes.length === 0 ? null : Math.min(...wakes);
  }

  quote(job: string, nowMs: number): Quote | null {
    const waiting = this.#queue.waitingJob(job);
    return waiting === null ? null : this.#quotes.quote(waiting, nowMs);
  }

  clock(accounts: readonly string[]): FairClock {
    return this.#queue.clock(accounts);
  }

  /** Position, ETA and reason of a waiting job. */
  explain(job: string, nowMs: number): Explained | null {
    const waiting = this.#queue.waitingJob(job);
    return waiting === null ? null : this.#quotes.explain(waiting, this.#queue.atCap(waiting), nowMs);
  }

  /** What a job that comes now would meet, per tier and class. */
  outlooks(nowMs: number): readonly Outlook[] {
    return this.#quotes.outlooks(nowMs);
  }

  /** Runners that are kept for a job: reserved, or freed for it. */
  get reservations(): readonly Reservation[] {
    return this.#reservations.all;
  }

  waitingOf(account: string): readonly string[] {
    return this.#queue.waitingOf(account);
  }

  #world(): DryWorld {
    return {
      view: this.#queue.view,
      cluster: this.#cluster,
      cost: this.#cost,
      classes: this.#classes,
      running: this.#running.values(),
      slack: gangSlack(this.#limits, this.#queue.runnableMs, this.#cluster.deviceCount),
      limits: this.#limits,
      passedSinceMs: this.#passedSinceMs,
    };
  }

  /**
   * Jobs whose reserved devices are free now: they were the head once, and start before whoever is the head today. Asked
   * in fair order they might never be: a class is asked for once a turn, and the head of theirs may be another. Nothing is
   * kept for a job whose account reached its cap with another one.
   */
  #claimKept(nowMs: number): Decision[] {
    const claimed: Decision[] = [];
    for (const { job: id, runner } of this.#reservations.all) {
      const job = this.#queue.startable(id);
      if (job === null) this.#reservations.drop(id);
      if (job === null || !this.#cluster.hasFree(runner)) continue;
      const found = this.#fit(job, nowMs);
      if (found === null) continue;
      this.#take(found, 1, null, nowMs);
      claimed.push(found);
    }
    return claimed;
  }

  #fit(job: QueuedJob, nowMs: number): Place | null {
    const jobClass = this.#classes.get(job.class);
    if (jobClass === undefined) return null;
    return place(this.#cluster, this.#cost, {
      job,
      class: jobClass,
      nowMs,
      slack: gangSlack(this.#limits, this.#queue.runnableMs, this.#cluster.deviceCount),
      fragmentation: this.#fragmentation,
      allows: (runner, use) => this.#reservations.allows(runner, job.id, use, nowMs),
    });
  }

  /** Of those whose turn is near enough, the one that ends first: short, or warm where devices are free. */
  #soonest(next: Place, blocked: ReadonlySet<string>, nowMs: number): Place {
    if (this.#limits.skipMs === 0) return next;
    const passedSinceMs = this.#passedSinceMs.get(next.job.id) ?? nowMs;
    if (nowMs - passedSinceMs >= this.#limits.passedMaxMs) return next;
    let best = next;
    const near = this.#queue.within(next.job, this.#limits.skipMs, blocked, this.#cluster.idleWeights(WARM_KINDS_MAX));
    for (const job of near) {
      const found = job.id === next.job.id ? null : this.#fit(job, nowMs);
      if (found !== null && found.estimateMs < best.estimateMs) best = found;
    }
    if (best !== next) this.#passedSinceMs.set(next.job.id, passedSinceMs);
    return best;
  }

  #batch(found: Place, limit: number, nowMs: number): readonly Place[] {
    const { job } = found;
    const jobClass = this.#classes.get(job.class);
    const runner = this.#cluster.runner(found.runner);
    if (jobClass === undefined || runner === null || jobClass.batchMax <= 1) return [found];
    return batchOf(this.#cluster, this.#cost, found, {
      class: jobClass,
      nowMs,
      limit,
      mates: (count) => this.#queue.mates(job, count),
      allows: (use: Use) => this.#reservations.allows(runner, job.id, use, nowMs),
    });
  }

  /** `turn`: whose turn it was, where the order decided. */
  #take(found: Place, batch: number, turn: QueuedJob | null, nowMs: number): void {
    this.#queue.take(found.job.id, batch, turn);
    this.#cluster.occupy(found, nowMs);
    this.#startedAt(found, nowMs);
    this.#reservations.drop(found.job.id);
    this.#blockedSinceMs.delete(found.job.id);
    this.#passedSinceMs.delete(found.job.id);
    this.#pending.add(found.job.id);
  }

  #adopt({ job, runner, devices, slot }: Extract<SchedulerEvent, { t: "running" }>, nowMs: number): void {
    const shape = this.#classes.get(job.class)?.shapes.find(({ k }) => k === devices.length);
    const found = {
      job,
      runner,
      devices,
      k: devices.length,
      slot,
      batch: null,
      // Nobody knows what it uses: nobody joins it.
      vramBytes: shape?.vramBytes ?? Infinity,
      coldMs: 0,
      estimateMs: remainingChargeMs(this.#cost, job),
    };
    this.#queue.adopt(job);
    this.#cluster.adopt(found, nowMs);
    this.#startedAt(found, nowMs);
  }

  #startedAt(found: Omit<Place, "t">, nowMs: number): void {
    const { job, runner, k, coldMs, estimateMs } = found;
    this.#running.set(job.id, { job, runner, k, coldMs, estimateMs, startedAtMs: nowMs, stopping: false });
  }

  #pace(id: string, stepsDone: number, nowMs: number): void {
    const running = this.#running.get(id);
    if (running === undefined || running.stopping) return;
    const ranSteps = stepsDone - running.job.stepsDone;
    if (ranSteps <= 0) return;
    const ranMs = nowMs - running.startedAtMs;
    const steppedMs = Math.max(1, ranMs - running.coldMs);
    const leftMs = Math.ceil((steppedMs * Math.max(0, running.job.steps - stepsDone)) / ranSteps);
    this.#running.set(id, { ...running, estimateMs: ranMs + leftMs });
    this.#cluster.expect(id, nowMs + leftMs);
  }

  #vacate(job: string): void {
    const renewed = this.#cluster.vacate(job);
    if (renewed === null) return;
    this.#reservations.dropRunner(renewed);
    this.#quotes.clusterChanged();
  }

  #release(job: string, stepsRun: number): void {
    this.#pending.delete(job);
    this.#running.delete(job);
    this.#queue.settle(job, stepsRun);
    this.#vacate(job);
  }

  #undo(job: string): void {
    if (!this.#pending.delete(job)) return;
    this.#running.delete(job);
    this.#queue.untake(job);
    this.#vacate(job);
  }

  /** What may be done for the job that fairness would have served: preempt for it, else reserve. */
  #helpHead(head: QueuedJob | null, nowMs: number): readonly Decision[] {
    this.#headDueMs = null;
    if (head === null || this.#reservations.has(head.id)) return [];
    const jobClass = this.#classes.get(head.class);
    if (jobClass === undefined) return [];
    // Counted from when it was the next and nothing fitted: waiting behind its own account's cap does not age a job.
    const sinceMs = this.#blockedSinceMs.getOrInsert(head.id, nowMs);
    const waitedMs = nowMs - sinceMs;
    const due = [this.#limits.preemptAfterMs, this.#limits.reserveAfterMs].filter((after) => after > waitedMs);
    if (due.length > 0) this.#headDueMs = sinceMs + Math.min(...due);
    if (waitedMs >= this.#limits.preemptAfterMs) {
      const preemptions = this.#preemptFor(head, jobClass, nowMs);
      if (preemptions.length > 0) return preemptions;
    }
    if (waitedMs >= this.#limits.reserveAfterMs)
      this.#reservations.reserve(this.#cluster, this.#cost, head, jobClass, nowMs);
    return [];
  }

  #preemptFor(head: QueuedJob, jobClass: JobClass, nowMs: number): readonly Decision[] {
    const exchange = exchangeFor(this.#cluster, this.#cost, this.#limits, {
      head,
      class: jobClass,
      classes: this.#classes,
      running: this.#running.values(),
      standing: (job) => this.#queue.standing(job),
      reserved: (runner) => this.#reservations.takenBy(runner, head.id),
      nowMs,
    });
    if (exchange === null) return [];
    const wasteLeftMs = this.#refillWaste(nowMs);
    if (exchange.wasteMs > wasteLeftMs) return [];
    this.#wasteLeftMs = wasteLeftMs - exchange.wasteMs;
    this.#reservations.hold(head.id, exchange.runner, exchange.shape, exchange.freeAtMs);
    return exchange.victims.map((victim) => {
      this.#running.set(victim.job.id, { ...victim, stopping: true });
      // Else the first to stop would fit beside those that seem to run on, and take its devices back.
      this.#cluster.expect(victim.job.id, exchange.freeAtMs);
      return { t: "preempt", job: victim.job.id, for: head.id };
    });
  }

  /** The waste budget now: it grows by its share of GPU time, up to one hour's worth, and starts full. */
  #refillWaste(nowMs: number): number {
    const perMs = this.#limits.wasteShare * this.#cluster.deviceCount;
    const fullMs = perMs * WASTE_BUCKET_MS;
    const grownMs = perMs * Math.max(0, nowMs - this.#wasteAtMs);
    this.#wasteLeftMs = this.#wasteLeftMs === null ? fullMs : Math.min(fullMs, this.#wasteLeftMs + grownMs);
    this.#wasteAtMs = nowMs;
    return this.#wasteLeftMs;
  }
}
