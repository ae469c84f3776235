/**
 * The leader's scheduling loop: mail → decide → commit → send, one turn at a time.
 *
 * The world in memory is a copy: it is rebuilt from Postgres at takeover and thrown away when leadership ends. A
 * decision counts only once its transaction committed under the leader's epoch.
 */
import type { Logger } from "pino";
import { explainAll } from "#control-plane/core/explain.ts";
import { PHASE_OF } from "#control-plane/core/job.ts";
import { UNEXPLAINED } from "#control-plane/core/job-view.ts";
import type { Explanation } from "#control-plane/core/job-view.ts";
import { Scheduler } from "#control-plane/core/scheduler.ts";
import type { Placement, RunnerDescription } from "#control-plane/core/scheduler.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import type { JobRow } from "#control-plane/db/jobs.ts";
import type { ArtifactStore } from "#control-plane/store/artifact-store.ts";
import { dispatch, DISPATCH_BATCH_MAX } from "#control-plane/usecase/dispatch.ts";
import type { Dispatched } from "#control-plane/usecase/dispatch.ts";
import { everyUnfinishedJob, readInbox, sweep, termsOf, waitingJobOf } from "#control-plane/usecase/lead.ts";
import { sweepCheckpoints } from "#control-plane/usecase/sweep-checkpoints.ts";
import type { AccountId, RunnerId, VideoId } from "#protocol/id.ts";
import type { LeaseRef } from "#protocol/runner.ts";
import { Ticker } from "./ticker.ts";
import type { Service } from "./ticker.ts";

/** Mail is also looked for without a wake-up: other replicas submit too. */
const POLL_MS = 100;
const SWEEP_MS = 500;
const TERMS_REFRESH_MS = 5_000;
const STORE_SWEEP_MS = 2_000;
/** Explanations are computed at most this often, however many ask. */
const EXPLAIN_MS = 250;

export interface SchedulerHost {
  readonly now: () => number;
  send(work: Dispatched): void;
  cancel(runner: RunnerId, lease: LeaseRef): void;
}

export class SchedulerLoop implements Service {
  readonly #sql: Sql;
  readonly #epoch: number;
  readonly #host: SchedulerHost;
  readonly #scheduler = new Scheduler();
  readonly #known = new Set<AccountId>();
  readonly #ticker: Ticker;
  readonly #sweeper: Ticker;
  readonly #terms: Ticker;
  readonly #storeSweeper: Ticker;
  #explained: ReadonlyMap<VideoId, Explanation> = new Map();
  #explainedAtMs = 0;

  constructor(sql: Sql, store: ArtifactStore, epoch: number, host: SchedulerHost, log: Logger) {
    this.#sql = sql;
    this.#epoch = epoch;
    this.#host = host;
    this.#ticker = new Ticker("scheduler", POLL_MS, log, () => this.#turn());
    this.#sweeper = new Ticker("sweep", SWEEP_MS, log, async () => {
      if ((await sweep(this.#sql, host.now())).length > 0) this.wake();
    });
    this.#terms = new Ticker("terms", TERMS_REFRESH_MS, log, () => this.#refreshTerms([...this.#known]));
    this.#storeSweeper = new Ticker("store-sweep", STORE_SWEEP_MS, log, () => sweepCheckpoints(sql, store));
  }

  /** Loads the world; then `start` runs it. */
  async load(): Promise<void> {
    const jobs = await everyUnfinishedJob(this.#sql);
    await this.#meet(jobs);
    for (const job of jobs) this.#apply(job);
  }

  start(): void {
    this.#ticker.start();
    this.#sweeper.start();
    this.#terms.start();
    this.#storeSweeper.start();
  }

  async stop(): Promise<void> {
    await Promise.all([this.#ticker.stop(), this.#sweeper.stop(), this.#terms.stop(), this.#storeSweeper.stop()]);
  }

  wake(): void {
    this.#ticker.wake();
  }

  runnerUp(runner: RunnerDescription): void {
    this.#scheduler.apply({ kind: "runner_up", runner });
    this.wake();
  }

  runnerDown(runner: RunnerId): void {
    this.#scheduler.apply({ kind: "runner_down", runner });
  }

  explain(job: VideoId): Explanation {
    return this.explainAll().get(job) ?? UNEXPLAINED;
  }

  explainAll(): ReadonlyMap<VideoId, Explanation> {
    const nowMs = this.#host.now();
    if (nowMs - this.#explainedAtMs >= EXPLAIN_MS) {
      this.#explained = explainAll(this.#scheduler.world, nowMs);
      this.#explainedAtMs = nowMs;
    }
    return this.#explained;
  }

  /** Waiting jobs of one account, for position frames. */
  waitingOf(account: AccountId): readonly VideoId[] {
    return [...(this.#scheduler.world.accounts.get(account)?.waiting.keys() ?? [])];
  }

  async #turn(): Promise<void> {
    // 1. Mail: jobs that came, moved or ended, as Postgres has them now.
    const mail = await readInbox(this.#sql);
    await this.#meet(mail);
    for (const job of mail) this.#apply(job);
    // 2. Decide.
    const placements = this.#scheduler.decide(this.#host.now(), DISPATCH_BATCH_MAX);
    if (placements.length === 0) return;
    // 3. Commit, then 4. send. A fault in between undoes all: the next turn decides anew.
    await this.#commit(placements);
    // 5. There may be more than one batch.
    this.wake();
  }

  async #commit(placements: readonly Placement[]): Promise<void> {
    try {
      const outcome = await dispatch(
        this.#sql,
        this.#epoch,
        placements.map(({ job, runner, devices }) => ({ job: job.id, runner, devices })),
      );
      for (const id of outcome.refused) this.#scheduler.apply({ kind: "refused", job: id });
      for (const work of outcome.dispatched) {
        this.#scheduler.apply({ kind: "placed", job: work.job.id, atMs: this.#host.now() });
        this.#host.send(work);
      }
    } catch (error) {
      for (const { job } of placements) {
        this.#scheduler.apply({ kind: "refused", job: job.id });
        this.#scheduler.apply({ kind: "waiting", job });
      }
      throw error;
    }
  }

  #apply(job: JobRow): void {
    const nowMs = this.#host.now();
    const phase = PHASE_OF[job.state];
    switch (phase) {
      case "waiting":
        this.#scheduler.apply({ kind: "ended", job: job.id, atMs: nowMs });
        return this.#scheduler.apply({ kind: "waiting", job: waitingJobOf(job) });
      case "ended":
        return this.#scheduler.apply({ kind: "ended", job: job.id, atMs: nowMs });
      case "leased":
        return this.#applyLeased(job, nowMs);
      default:
        return phase satisfies never;
    }
  }

  #applyLeased(job: JobRow, nowMs: number): void {
    if (job.runnerId === null || job.devices === null) return;
    if (!this.#scheduler.world.running.has(job.id)) {
      this.#scheduler.apply({
        kind: "running",
        job: waitingJobOf(job),
        runner: job.runnerId,
        devices: job.devices,
        sinceMs: nowMs,
      });
    }
    if (job.state === "cancelling") this.#host.cancel(job.runnerId, { job: job.id, epoch: job.epoch });
  }

  async #meet(jobs: readonly JobRow[]): Promise<void> {
    const strangers = [...new Set(jobs.map((job) => job.accountId))].filter((id) => !this.#known.has(id));
    await this.#refreshTerms(strangers);
    for (const id of strangers) this.#known.add(id);
  }

  async #refreshTerms(accounts: readonly AccountId[]): Promise<void> {
    for (const terms of await termsOf(this.#sql, accounts)) this.#scheduler.apply({ kind: "account", terms });
  }
}
