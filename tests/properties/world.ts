/**
 * A small world that drives the real scheduler: jobs arrive, run, break and are cancelled, runners come and go, placements
 * are refused, leaders change. Time jumps from event to event.
 *
 * The world is the truth: what runs where, how far it is, what Postgres would hold. It tells the scheduler what a control
 * plane would be told, and shows every decision to its laws, which throw when one is broken.
 */
import type {
  FairClock,
  Place,
  QueuedJob,
  RunnerTerms,
  SchedulerEvent,
  TierClock,
  TierTerms,
} from "#control-plane/core/scheduler/event.ts";
import type { CostModel } from "#control-plane/core/scheduler/job-class.ts";
import { PRODUCTION_LIMITS } from "#control-plane/core/scheduler/limits.ts";
import type { SchedulerLimits } from "#control-plane/core/scheduler/limits.ts";
import type { Scheduler } from "#control-plane/core/scheduler/scheduler.ts";
import type { Command } from "./command.ts";
import { perform } from "./perform.ts";
import { rebuilt } from "./rebuilt.ts";
import { ACCOUNTS, classOf, COST, RUNNERS, TIER_NAMES, variantOf } from "./studio.ts";

export interface Run {
  readonly place: Place;
  readonly startedMs: number;
  readonly stepMs: number;
  readonly endMs: number;
  /** When it stops for another job, and for which. */
  readonly stop: { readonly atMs: number; readonly for: string } | null;
}

/** What the world does to its scheduler; the scheduler itself, or two of them that are compared. */
export type Leader = Pick<Scheduler, "apply" | "decide" | "nextWakeMs" | "clock" | "reservations">;

export interface Laws {
  /** Before the first placement of a batch, and after every event. */
  onState(world: World): void;
  onPlace(world: World, place: Place): void;
  onPreempt(world: World, victim: Run, head: QueuedJob): void;
  onArrival?(world: World, job: QueuedJob): void;
  /** An attempt ended, with or without its job. */
  onEnded?(world: World, job: QueuedJob, stepsRun: number): void;
  /** The scheduler has nothing more to say at this instant. */
  onSettled(world: World): void;
}

export interface WorldOptions {
  readonly limits?: Partial<SchedulerLimits>;
  readonly cost?: CostModel;
  readonly runners?: readonly RunnerTerms[];
  readonly tiers?: readonly TierTerms[];
  readonly accounts?: Readonly<Record<string, string>>;
  /** True over estimated duration of a job. */
  readonly luck?: (job: QueuedJob) => number;
  /** Runners say how far they are whenever they are asked, as engines do that report every step. */
  readonly reports?: boolean;
  readonly laws?: readonly Laws[];
}

/** Small thresholds, so that a short history holds reservations and preemptions. */
const LIMITS: SchedulerLimits = {
  ...PRODUCTION_LIMITS,
  reserveAfterMs: 30_000,
  preemptAfterMs: 10_000,
  victimRanMinMs: 8_000,
  victimLeftMinMs: 5_000,
  fullBacklogMs: 60_000,
};
const BATCH_MAX = 32;
/** Decisions of one instant beyond which the scheduler is in a loop. */
const ROUNDS_MAX = 1_000;

export class World {
  readonly limits: SchedulerLimits;
  readonly cost: CostModel;
  readonly runners: readonly RunnerTerms[];
  readonly down = new Set<string>();
  readonly tiers = new Map<string, TierTerms>();
  readonly accounts = new Map<string, string>();
  readonly waiting = new Map<string, QueuedJob>();
  readonly running = new Map<string, Run>();
  readonly log: string[] = [];
  /** Fair tags and clocks as the last committed batch left them. */
  readonly stored = { tags: new Map<string, number>(), tiers: new Map<string, TierClock>() };
  readonly #luck: (job: QueuedJob) => number;
  readonly #laws: readonly Laws[];
  readonly #reports: boolean;
  leader: Leader;
  nowMs = 0;
  /** When the scheduler last looked at the clock: jobs whose backoff ended since still sleep. */
  decidedMs = 0;
  /** Jobs for which devices were kept before the batch that is being placed. */
  kept: ReadonlySet<string> = new Set();
  ended = 0;
  readonly #submitted = new Map<string, number>();
  #seq = 0;
  /** What becomes of the next batch, if it is not committed. */
  refuseNext: "gone" | "again" | null = null;

  constructor(options: WorldOptions = {}) {
    const { runners = RUNNERS, accounts = ACCOUNTS, luck = () => 1, laws = [] } = options;
    this.limits = { ...LIMITS, ...options.limits };
    this.cost = options.cost ?? COST;
    this.runners = runners;
    this.#luck = luck;
    this.#laws = laws;
    this.#reports = options.reports ?? false;
    for (const terms of options.tiers ?? TIER_NAMES.map((name) => variantOf(name, 0)))
      this.tiers.set(terms.tier, terms);
    for (const [account, tier] of Object.entries(accounts)) this.accounts.set(account, tier);
    this.leader = rebuilt(this);
  }

  play(commands: readonly Command[]): this {
    for (const command of commands) this.do(command);
    return this;
  }

  do(command: Command): void {
    perform(this, command);
    this.settle();
  }

  /** Lets everything run to its end; false if something still waits or runs at `byMs`. */
  drain(byMs: number): boolean {
    for (const { id } of this.runners) this.do({ t: "runner", runner: id, up: true });
    this.passTo(byMs);
    return this.waiting.size + this.running.size === 0;
  }

  tell(event: SchedulerEvent): void {
    this.leader.apply(event, this.nowMs);
    this.check();
  }

  /** `name` tells jobs apart that another history does not have. */
  submit(job: Pick<QueuedJob, "account" | "class" | "steps" | "weights">, name = "j"): QueuedJob {
    const count = (this.#submitted.get(`${job.account}-${name}`) ?? 0) + 1;
    this.#submitted.set(`${job.account}-${name}`, count);
    const queued: QueuedJob = {
      ...job,
      id: `${job.account}-${name}${String(count).padStart(3, "0")}`,
      stepsDone: 0,
      seq: this.#seq++,
      submittedAtMs: this.nowMs,
      notBeforeMs: 0,
      preemptions: 0,
      avoid: null,
    };
    this.waiting.set(queued.id, queued);
    for (const law of this.#laws) law.onArrival?.(this, queued);
    this.tell({ t: "queued", job: queued });
    return queued;
  }

  runningOf(account: string): number {
    return [...this.running.values()].filter(({ place }) => place.job.account === account).length;
  }

  tierOf(account: string): TierTerms {
    const terms = this.tiers.get(this.accounts.get(account) ?? "");
    if (terms === undefined) throw new Error(`Account ${account} has no tier.`);
    return terms;
  }

  clock(): FairClock {
    return this.leader.clock([...this.accounts.keys()]);
  }

  /** Steps that an attempt has done at this moment. */
  stepsRunAt({ place, startedMs, stepMs }: Run, atMs: number): number {
    const { steps, stepsDone } = place.job;
    return Math.max(0, Math.min(steps - stepsDone, Math.floor((atMs - startedMs - place.coldMs) / stepMs)));
  }

  report(): void {
    for (const run of this.running.values()) {
      const stepsDone = run.place.job.stepsDone + this.stepsRunAt(run, this.nowMs);
      this.leader.apply({ t: "progress", job: run.place.job.id, stepsDone }, this.nowMs);
    }
  }

  settle(): void {
    this.check();
    for (let round = 0; ; round++) {
      if (round > ROUNDS_MAX) throw new Error("The scheduler decides for ever.");
      if (this.#reports) this.report();
      this.kept = new Set(this.leader.reservations.map(({ job }) => job));
      const decisions = this.leader.decide(this.nowMs, BATCH_MAX);
      this.decidedMs = this.nowMs;
      this.check();
      if (decisions.length === 0) break;
      const places = decisions.filter((decision) => decision.t === "place");
      for (const place of places) this.#place(place);
      for (const decision of decisions) if (decision.t === "preempt") this.#askToStop(decision.job, decision.for);
      this.#commit(places);
    }
    for (const law of this.#laws) law.onSettled(this);
  }

  check(): void {
    for (const law of this.#laws) law.onState(this);
  }

  passTo(untilMs: number): void {
    for (;;) {
      const ends = [...this.running.values()].map((run) => Math.min(run.endMs, run.stop?.atMs ?? Infinity));
      const wakeMs = this.waiting.size > 0 ? this.leader.nextWakeMs() : null;
      const nextMs = Math.min(...ends, wakeMs === null ? Infinity : Math.max(wakeMs, this.nowMs + 1));
      if (nextMs > untilMs) break;
      this.nowMs = nextMs;
      const runs = Array.from(this.running.values());
      for (const run of runs) {
        if (run.stop !== null && run.stop.atMs <= nextMs) this.#stop(run);
        else if (run.endMs <= nextMs) this.end(run, run.place.job.steps - run.place.job.stepsDone);
      }
      this.settle();
    }
    this.nowMs = Math.max(this.nowMs, untilMs === Infinity ? 0 : untilMs);
  }

  turnRunner(runner: string, up: boolean): void {
    if (up) {
      if (!this.down.delete(runner)) return;
      const terms = this.runners.find(({ id }) => id === runner);
      return terms === undefined ? undefined : this.tell({ t: "runner_up", runner: terms });
    }
    if (this.down.has(runner) || !this.runners.some(({ id }) => id === runner)) return;
    this.down.add(runner);
    // Its death is told before the loss of its jobs, as when its socket closes.
    this.tell({ t: "runner_down", runner });
    const aboard = Array.from(this.running.values()).filter(({ place }) => place.runner === runner);
    for (const run of aboard) this.lose(run, { avoid: runner });
  }

  #place(place: Place): void {
    for (const law of this.#laws) law.onPlace(this, place);
    const { job, runner, devices, coldMs, estimateMs } = place;
    this.waiting.delete(job.id);
    this.log.push(`${this.nowMs} place ${job.id} ${runner} ${devices.join()}`);
    const workMs = (estimateMs - coldMs) * this.#luck(job);
    this.running.set(job.id, {
      place,
      startedMs: this.nowMs,
      stepMs: workMs / (job.steps - job.stepsDone),
      endMs: this.nowMs + coldMs + Math.max(1, Math.ceil(workMs)),
      stop: null,
    });
  }

  #commit(places: readonly Place[]): void {
    if (places.length === 0) return;
    const clock = this.leader.clock(places.map(({ job }) => job.account));
    const refuse = this.refuseNext;
    this.refuseNext = null;
    for (const { job } of places) {
      if (refuse === null) this.tell({ t: "committed", job: job.id });
      else {
        this.running.delete(job.id);
        for (const law of this.#laws) law.onEnded?.(this, job, 0);
        this.tell({ t: "refused", job: job.id });
        if (refuse === "gone") continue;
        this.waiting.set(job.id, job);
        this.tell({ t: "queued", job });
      }
    }
    if (refuse !== null) return;
    for (const { account, tag } of clock.accounts) this.stored.tags.set(account, tag);
    for (const tier of clock.tiers) this.stored.tiers.set(tier.tier, tier);
  }

  #askToStop(victim: string, head: string): void {
    const run = this.running.get(victim);
    const job = this.waiting.get(head);
    if (run === undefined || job === undefined) throw new Error(`${victim} is to stop for ${head}, which is not so.`);
    for (const law of this.#laws) law.onPreempt(this, run, job);
    this.log.push(`${this.nowMs} preempt ${victim} for ${head}`);
    const step = this.stepsRunAt(run, this.nowMs) + 1;
    // Behind its last step there is nothing left to save: it ends by itself.
    if (step >= run.place.job.steps - run.place.job.stepsDone) return;
    const atMs = Math.ceil(run.startedMs + run.place.coldMs + step * run.stepMs);
    this.running.set(victim, { ...run, stop: { atMs, for: head } });
  }

  #stop(run: Run): void {
    const { preemptions } = run.place.job;
    this.lose(run, { preemptions: preemptions + 1 });
  }

  /** The attempt is over, the job is not. */
  lose(run: Run, change: Partial<QueuedJob>): void {
    const { job } = run.place;
    const keeps = classOf(job.class).resume === "exact";
    const stepsRun = keeps ? Math.min(job.steps - job.stepsDone - 1, this.stepsRunAt(run, this.nowMs)) : 0;
    for (const law of this.#laws) law.onEnded?.(this, job, stepsRun);
    const left = { ...job, ...change, stepsDone: job.stepsDone + stepsRun };
    this.running.delete(job.id);
    this.waiting.set(job.id, left);
    this.tell({ t: "requeued", job: left, stepsRun });
  }

  end(run: Run, stepsRun: number): void {
    const { job } = run.place;
    this.running.delete(job.id);
    this.log.push(`${this.nowMs} end ${job.id} ${stepsRun}`);
    this.ended++;
    for (const law of this.#laws) law.onEnded?.(this, job, stepsRun);
    this.tell({ t: "ended", job: job.id, stepsRun });
  }
}
