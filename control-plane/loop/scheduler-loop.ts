/**
 * The leader's scheduling loop: mail → decide → commit → send, one turn at a time.
 *
 * The world in memory is a copy: it is rebuilt from Postgres at takeover and thrown away when leadership ends. A
 * decision counts only once its transaction committed under the leader's epoch.
 */
import type { Logger } from "pino";
import { PHASE_OF } from "#control-plane/core/job.ts";
import { UNEXPLAINED } from "#control-plane/core/job-view.ts";
import type { Explanation } from "#control-plane/core/job-view.ts";
import { ClassCosts } from "#control-plane/core/scheduler/class-costs.ts";
import type { Place, RunnerTerms } from "#control-plane/core/scheduler/event.ts";
import type { Explained } from "#control-plane/core/scheduler/quotes.ts";
import type { SchedulerLimits } from "#control-plane/core/scheduler/limits.ts";
import { Scheduler } from "#control-plane/core/scheduler/scheduler.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import type { JobRow } from "#control-plane/db/jobs.ts";
import type { ArtifactStore } from "#control-plane/store/artifact-store.ts";
import { publishOutlooks } from "#control-plane/usecase/admission-outlook.ts";
import { dispatch, DISPATCH_BATCH_MAX } from "#control-plane/usecase/dispatch.ts";
import type { Dispatched } from "#control-plane/usecase/dispatch.ts";
import {
  everyUnfinishedJob,
  knownRunners,
  meetAccounts,
  queuedJobOf,
  readInbox,
  readTerms,
  sweep,
  storedClocks,
} from "#control-plane/usecase/lead.ts";
import { sweepCheckpoints } from "#control-plane/usecase/sweep-checkpoints.ts";
import { DeviceId, RunnerId, VideoId } from "#protocol/id.ts";
import type { AccountId } from "#protocol/id.ts";
import type { LeaseRef } from "#protocol/runner.ts";
import { Ticker } from "./ticker.ts";
import type { Service } from "./ticker.ts";

/** Mail is also looked for without a wake-up: other replicas submit too. */
const POLL_MS = 100;
const SWEEP_MS = 500;
const TERMS_REFRESH_MS = 5_000;
const STORE_SWEEP_MS = 2_000;
/** How often replicas are told what jobs that come now would meet. */
const PUBLISH_MS = 1_000;

export interface SchedulerHost {
  readonly limits: SchedulerLimits;
  readonly now: () => number;
  send(work: Dispatched): void;
  stop(runner: RunnerId, lease: LeaseRef, why: "preempt" | "cancel"): void;
}

/** What was dispatched, to tell later how much of it ran and how long it took. */
interface Running {
  readonly epoch: number;
  readonly fromStep: number;
  readonly sinceMs: number;
  readonly runner: string;
  readonly class: string;
}

export class SchedulerLoop implements Service {
  readonly #sql: Sql;
  readonly #epoch: number;
  readonly #host: SchedulerHost;
  readonly #costs = new ClassCosts();
  readonly #scheduler: Scheduler;
  readonly #accounts = new Set<AccountId>();
  readonly #gpus = new Map<string, string>();
  readonly #waiting = new Set<VideoId>();
  readonly #running = new Map<VideoId, Running>();
  readonly #tickers: readonly Ticker[];
  readonly #turns: Ticker;

  constructor(sql: Sql, store: ArtifactStore, epoch: number, host: SchedulerHost, log: Logger) {
    this.#scheduler = new Scheduler(this.#costs, host.limits);
    this.#sql = sql;
    this.#epoch = epoch;
    this.#host = host;
    this.#turns = new Ticker("scheduler", POLL_MS, log, () => this.#turn());
    this.#tickers = [
      this.#turns,
      new Ticker("sweep", SWEEP_MS, log, async () => {
        if ((await sweep(this.#sql, host.now())).length > 0) this.wake();
      }),
      new Ticker("admission", PUBLISH_MS, log, () => publishOutlooks(sql, epoch, this.#scheduler.outlooks(host.now()))),
      new Ticker("terms", TERMS_REFRESH_MS, log, () => this.#refreshTerms()),
      new Ticker("store-sweep", STORE_SWEEP_MS, log, () => sweepCheckpoints(sql, store)),
    ];
  }

  /** Loads the world; then `start` runs it. */
  async load(): Promise<void> {
    await this.#refreshTerms();
    for (const clock of await storedClocks(this.#sql)) {
      this.#scheduler.apply({ t: "tier_clock", clock }, this.#host.now());
    }
    for (const runner of await knownRunners(this.#sql)) {
      // Its devices are known, for the jobs that hold them; it takes work once it dials.
      this.runnerUp(runner);
      this.runnerDown(runner.id);
    }
    const jobs = await everyUnfinishedJob(this.#sql);
    await this.#meet(jobs);
    for (const job of jobs) this.#apply(job);
  }

  start(): void {
    for (const ticker of this.#tickers) ticker.start();
  }

  async stop(): Promise<void> {
    await Promise.all(this.#tickers.map((ticker) => ticker.stop()));
  }

  wake(): void {
    this.#turns.wake();
  }

  runnerUp(runner: RunnerTerms): void {
    this.#gpus.set(runner.id, runner.gpu);
    this.#scheduler.apply({ t: "runner_up", runner }, this.#host.now());
    this.wake();
  }

  runnerDown(runner: string): void {
    this.#scheduler.apply({ t: "runner_down", runner }, this.#host.now());
  }

  /** Steps that a running job has done, as its runner says. */
  progressed(job: VideoId, stepsDone: number): void {
    this.#scheduler.apply({ t: "progress", job, stepsDone }, this.#host.now());
  }

  explain(job: VideoId): Explanation {
    const found = this.#scheduler.explain(job, this.#host.now());
    return found === null ? UNEXPLAINED : explanationOf(found);
  }

  /** Waiting jobs of one account, for position frames. */
  waitingOf(account: AccountId): readonly VideoId[] {
    return this.#scheduler.waitingOf(account).map((id) => VideoId.parse(id));
  }

  async #turn(): Promise<void> {
    // 1. Mail: jobs that came, moved or ended, as Postgres has them now.
    const mail = await readInbox(this.#sql);
    await this.#meet(mail);
    for (const job of mail) this.#apply(job);
    // 2. Decide.
    const decisions = this.#scheduler.decide(this.#host.now(), DISPATCH_BATCH_MAX);
    for (const decision of decisions) if (decision.t === "preempt") this.#preempt(VideoId.parse(decision.job));
    const places = decisions.filter((decision) => decision.t === "place");
    if (places.length === 0) return;
    // 3. Commit, then 4. send. A fault in between undoes all: the next turn decides anew.
    await this.#commit(places);
    // 5. There may be more than one batch.
    this.wake();
  }

  /**
   * Only asks: the runner's checkpoint and its `stopped` are what moves the job. A request that is lost is not repeated:
   * the job then runs to its end, and what waits for its devices gets them there.
   */
  #preempt(job: VideoId): void {
    const running = this.#running.get(job);
    if (running !== undefined)
      this.#host.stop(RunnerId.parse(running.runner), { job, epoch: running.epoch }, "preempt");
  }

  async #commit(places: readonly Place[]): Promise<void> {
    const nowMs = this.#host.now();
    const undo = (id: string) => this.#scheduler.apply({ t: "refused", job: id }, nowMs);
    try {
      const batch = places.map(({ job, runner, devices }) => ({
        job: VideoId.parse(job.id),
        runner: RunnerId.parse(runner),
        devices: devices.map((device) => DeviceId.parse(device)),
      }));
      const clock = this.#scheduler.clock(places.map(({ job }) => job.account));
      const outcome = await dispatch(this.#sql, this.#epoch, batch, clock);
      for (const id of outcome.refused) {
        undo(id);
        this.#waiting.delete(id);
      }
      for (const work of outcome.dispatched) {
        this.#scheduler.apply({ t: "committed", job: work.job.id }, nowMs);
        this.#waiting.delete(work.job.id);
        this.#remember(work.job, nowMs);
        this.#host.send(work);
      }
    } catch (error) {
      for (const { job } of places) {
        undo(job.id);
        this.#scheduler.apply({ t: "queued", job }, nowMs);
      }
      throw error;
    }
  }

  #apply(job: JobRow): void {
    const phase = PHASE_OF[job.state];
    switch (phase) {
      case "waiting":
        return this.#applyWaiting(job);
      case "ended":
        return this.#applyEnded(job);
      case "leased":
        return this.#applyLeased(job);
      default:
        return phase satisfies never;
    }
  }

  #applyWaiting(job: JobRow): void {
    const nowMs = this.#host.now();
    if (this.#waiting.has(job.id)) return;
    const queued = queuedJobOf(job);
    const ran = this.#forget(job);
    this.#scheduler.apply(
      ran === null ? { t: "queued", job: queued } : { t: "requeued", job: queued, stepsRun: ran.stepsRun },
      nowMs,
    );
    this.#waiting.add(job.id);
  }

  #applyEnded(job: JobRow): void {
    const nowMs = this.#host.now();
    if (this.#waiting.delete(job.id)) return this.#scheduler.apply({ t: "withdrawn", job: job.id }, nowMs);
    const ran = this.#forget(job);
    if (ran === null) return;
    if (job.state === "completed") {
      this.#costs.observe(
        ran.class,
        this.#gpus.get(ran.runner) ?? "none",
        job.steps - ran.fromStep,
        nowMs - ran.sinceMs,
      );
    }
    const stepsRun = job.state === "completed" ? job.steps - ran.fromStep : ran.stepsRun;
    this.#scheduler.apply({ t: "ended", job: job.id, stepsRun }, nowMs);
  }

  #applyLeased(job: JobRow): void {
    if (job.runnerId === null || job.devices === null) return;
    if (!this.#running.has(job.id)) {
      const nowMs = this.#host.now();
      this.#scheduler.apply({ t: "running", job: queuedJobOf(job), runner: job.runnerId, devices: job.devices }, nowMs);
      this.#remember(job, nowMs);
    }
    if (job.state === "cancelling") this.#host.stop(job.runnerId, { job: job.id, epoch: job.epoch }, "cancel");
  }

  #remember(job: JobRow, nowMs: number): void {
    const { class: classId } = queuedJobOf(job);
    this.#running.set(job.id, {
      epoch: job.epoch,
      fromStep: job.stepsDone,
      sinceMs: nowMs,
      runner: job.runnerId ?? "",
      class: classId,
    });
  }

  /** What ran of a job that runs no more; null if it did not run as far as we know. */
  #forget(job: JobRow): (Running & { readonly stepsRun: number }) | null {
    const running = this.#running.get(job.id);
    if (running === undefined) return null;
    this.#running.delete(job.id);
    return { ...running, stepsRun: Math.max(0, job.stepsDone - running.fromStep) };
  }

  async #meet(jobs: readonly JobRow[]): Promise<void> {
    await this.#refreshAccounts([...new Set(jobs.map((job) => job.accountId))].filter((id) => !this.#accounts.has(id)));
  }

  async #refreshTerms(): Promise<void> {
    const nowMs = this.#host.now();
    const { tiers, classes } = await readTerms(this.#sql);
    for (const terms of tiers) this.#scheduler.apply({ t: "tier", terms }, nowMs);
    for (const declared of classes) {
      this.#costs.declare(declared.class.id, declared.cost);
      this.#scheduler.apply({ t: "class", class: declared.class }, nowMs);
    }
    await this.#refreshAccounts([...this.#accounts]);
  }

  async #refreshAccounts(accounts: readonly AccountId[]): Promise<void> {
    for (const met of await meetAccounts(this.#sql, accounts)) {
      this.#accounts.add(met.account);
      this.#scheduler.apply({ t: "account", ...met }, this.#host.now());
    }
  }
}

function explanationOf({ position, eta, blockedBy }: Explained): Explanation {
  const seconds = (ms: number) => Math.ceil(ms / 1_000);
  return {
    position,
    blockedBy,
    eta:
      eta === null
        ? null
        : {
            start_p50: seconds(eta.startP50Ms),
            start_p90: seconds(eta.startP90Ms),
            finish_p50: seconds(eta.finishP50Ms),
            finish_p90: seconds(eta.finishP90Ms),
          },
  };
}
