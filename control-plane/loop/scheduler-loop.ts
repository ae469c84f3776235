/**
 * The leader's scheduling loop: mail → decide → commit → send, one turn at a time.
 *
 * The world in memory is a copy: it is rebuilt from Postgres at takeover and thrown away when leadership ends. A
 * decision counts only once its transaction committed under the leader's epoch.
 */
import { PHASE_OF } from "#control-plane/core/job.ts";
import { UNEXPLAINED } from "#control-plane/core/job-view.ts";
import type { Explanation } from "#control-plane/core/job-view.ts";
import { SeededCostModel } from "#control-plane/core/scheduler/cost-model.ts";
import type { Place, QueuedJob, RunnerTerms, SchedulerEvent } from "#control-plane/core/scheduler/event.ts";
import type { Explained } from "#control-plane/core/scheduler/quotes.ts";
import type { SchedulerLimits } from "#control-plane/core/scheduler/limits.ts";
import { Scheduler } from "#control-plane/core/scheduler/scheduler.ts";
import type { StageTime } from "#control-plane/core/scheduler/stage-clock.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import type { JobRow } from "#control-plane/db/jobs.ts";
import type { ArtifactStore } from "#control-plane/store/artifact-store.ts";
import type { Dispatch } from "#control-plane/db/leases.ts";
import { publishOutlooks } from "#control-plane/usecase/admission-outlook.ts";
import { dispatch, DISPATCH_BATCH_MAX } from "#control-plane/usecase/dispatch.ts";
import type { Dispatched } from "#control-plane/usecase/dispatch.ts";
import {
  everyUnfinishedJob,
  knownRunners,
  queuedJobOf,
  readJobs,
  readMail,
  serverTimeMs,
  storedClocks,
  sweepLeases,
  sweepOld,
} from "#control-plane/usecase/lead.ts";
import { pastOutcomes } from "#control-plane/usecase/read-terms.ts";
import { sweepCheckpoints } from "#control-plane/usecase/sweep-checkpoints.ts";
import { sweepResults } from "#control-plane/usecase/sweep-results.ts";
import { DeviceId, RunnerId, VideoId } from "#protocol/id.ts";
import type { AccountId, Sha256Hex } from "#protocol/id.ts";
import type { LeaseRef, Stage } from "#protocol/runner.ts";
import { ledgerTickers } from "./ledger-keeper.ts";
import { Isolation } from "./isolation.ts";
import { RunnerRoster } from "./runner-roster.ts";
import { RunningJobs } from "./running-jobs.ts";
import { ServerTime } from "./server-time.ts";
import { TermsKeeper } from "./terms-keeper.ts";
import { Ticker } from "./ticker.ts";
import type { LoopHost, Service } from "./ticker.ts";

/** Mail is also looked for without a wake-up: other replicas submit too. */
const POLL_MS = 100;
/** A lease that ends before the next sweep is waited for. */
const LEASE_SWEEP_MS = 500;
const OLD_SWEEP_MS = 5_000;
const STORE_SWEEP_MS = 2_000;
/** A job whose devices are still held is placed anew after this long; the lease that holds them ends by itself. */
const HELD_RETRY_MS = 1_000;
/** How often replicas are told what jobs that come now would meet. */
const PUBLISH_MS = 1_000;

/** A start that leaves the fair order where it is. */
const NO_CLOCK = { accounts: [], tiers: [] };

export interface SchedulerHost extends LoopHost {
  readonly limits: SchedulerLimits;
  send(work: Dispatched): void;
  stop(runner: RunnerId, lease: LeaseRef, why: "preempt" | "cancel"): void;
  /** The secrets of runners that count now. */
  trust(secrets: ReadonlyMap<RunnerId, Sha256Hex>): void;
}

export class SchedulerLoop implements Service {
  readonly #sql: Sql;
  readonly #epoch: number;
  readonly #host: SchedulerHost;
  readonly #time: ServerTime;
  readonly #costs = new SeededCostModel();
  readonly #scheduler: Scheduler;
  readonly #terms: TermsKeeper;
  readonly #roster: RunnerRoster;
  readonly #running: RunningJobs;
  readonly #isolation: Isolation;
  readonly #waiting = new Map<VideoId, QueuedJob>();
  /** Jobs that may have changed and were not read yet: from the inbox, or refused at dispatch. */
  readonly #unread = new Set<VideoId>();
  /** Mail that was acted upon and is still in the inbox. */
  #handled: readonly bigint[] = [];
  readonly #tickers: readonly Ticker[];
  readonly #turns: Ticker;

  constructor(sql: Sql, store: ArtifactStore, epoch: number, host: SchedulerHost) {
    const tell = (event: SchedulerEvent) => this.#scheduler.apply(event, this.#time.nowMs());
    this.#scheduler = new Scheduler(this.#costs, host.limits);
    this.#sql = sql;
    this.#epoch = epoch;
    this.#host = host;
    this.#time = new ServerTime(host.clock);
    this.#roster = new RunnerRoster(tell);
    this.#running = new RunningJobs(this.#costs, (runner) => this.#roster.gpuOf(runner));
    this.#isolation = new Isolation(this.#roster);
    this.#terms = new TermsKeeper({
      sql,
      tell,
      costs: this.#costs,
      roster: this.#roster,
      limits: host.limits,
      waiting: () => this.#waiting.values(),
      trust: (secrets) => host.trust(secrets),
    });
    this.#turns = new Ticker("scheduler", POLL_MS, host, () => this.#turn());
    this.#tickers = [
      this.#turns,
      new Ticker("sweep-leases", LEASE_SWEEP_MS, host, async () => {
        const { lost, nextMs } = await sweepLeases(sql, epoch, LEASE_SWEEP_MS);
        if (lost.length > 0) this.wake();
        return nextMs;
      }),
      new Ticker("sweep-old", OLD_SWEEP_MS, host, async () => {
        if ((await sweepOld(sql, epoch)).length > 0) this.wake();
      }),
      new Ticker("admission", PUBLISH_MS, host, () =>
        publishOutlooks(sql, epoch, this.#scheduler.outlooks(this.#time.nowMs())),
      ),
      new Ticker("store-sweep", STORE_SWEEP_MS, host, async () => {
        await sweepCheckpoints(sql, store);
        await sweepResults(sql, store);
      }),
      ...ledgerTickers(sql, epoch, host),
    ];
  }

  /** Loads the world; then `start` runs it. */
  async load(): Promise<void> {
    this.#time.heard(await serverTimeMs(this.#sql));
    await this.#terms.refresh(this.#host.clock.monotonicMs());
    for (const outcome of await pastOutcomes(this.#sql)) this.#costs.observe(outcome);
    for (const clock of await storedClocks(this.#sql)) this.#tell({ t: "tier_clock", clock });
    for (const runner of await knownRunners(this.#sql)) this.#roster.remember(runner);
    const jobs = await everyUnfinishedJob(this.#sql);
    await this.#terms.meet(jobs);
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
    this.#roster.up(runner);
    this.wake();
  }

  runnerDown(runner: string): void {
    this.#roster.down(runner);
  }

  /** Steps that a running job has done, as its runner says. */
  progressed(job: VideoId, stepsDone: number): void {
    this.#tell({ t: "progress", job, stepsDone });
  }

  /** An attempt went on to this stage, as its runner says. */
  staged(lease: LeaseRef, stage: Stage): void {
    this.#running.enter(lease, stage, this.#time.nowMs());
  }

  /** An attempt is over, as its runner says: how long its stages took. */
  stageTimes(lease: LeaseRef, how: "finished" | "broken"): readonly StageTime[] {
    return this.#running.end(lease, how, this.#time.nowMs());
  }

  explain(job: VideoId): Explanation {
    const found = this.#scheduler.explain(job, this.#time.nowMs());
    return found === null ? UNEXPLAINED : explanationOf(found);
  }

  /** Waiting jobs of one account, for position frames. */
  waitingOf(account: AccountId): readonly VideoId[] {
    return this.#scheduler.waitingOf(account).map((id) => VideoId.parse(id));
  }

  async #turn(): Promise<void> {
    // 1. Mail: terms that changed, and jobs that came, moved or ended, as Postgres has them now.
    await this.#readMail();
    this.#host.meter.show("jobs_waiting", this.#waiting.size);
    this.#host.meter.show("jobs_running", this.#running.size);
    await this.#startAlone();
    // 2. Decide.
    const decisions = this.#scheduler.decide(this.#time.nowMs(), DISPATCH_BATCH_MAX);
    for (const decision of decisions) if (decision.t === "preempt") this.#preempt(VideoId.parse(decision.job));
    const places = decisions.filter((decision) => decision.t === "place");
    if (places.length === 0) return;
    // 3. Commit, then 4. send. A fault in between undoes all: the next turn decides anew.
    await this.#commit(places);
    // 5. There may be more than one batch.
    this.wake();
  }

  /** A turn that breaks off here reads the same mail again. */
  async #readMail(): Promise<void> {
    const mail = await readMail(this.#sql, this.#epoch, this.#handled);
    this.#handled = [];
    this.#time.heard(mail.atMs);
    for (const id of mail.jobs) this.#unread.add(id);
    if (mail.termsChanged) this.#terms.expire();
    await this.#terms.refresh(this.#host.clock.monotonicMs());
    const jobs = await readJobs(this.#sql, [...this.#unread]);
    await this.#terms.meet(jobs);
    this.#unread.clear();
    for (const job of jobs) this.#apply(job);
    this.#handled = mail.ids;
  }

  /**
   * Only asks: the runner's checkpoint and its `stopped` are what moves the job. A request that is lost is not repeated:
   * the job then runs to its end, and what waits for its devices gets them there.
   */
  #preempt(job: VideoId): void {
    const running = this.#running.leaseOf(job);
    if (running !== null) this.#host.stop(running.runner, running.lease, "preempt");
  }

  async #commit(places: readonly Place[]): Promise<void> {
    const nowMs = this.#time.nowMs();
    const undo = (id: string) => this.#scheduler.apply({ t: "refused", job: id }, nowMs);
    try {
      const batch = places.map((place) => this.#dispatchOf(place));
      const clock = this.#scheduler.clock(places.map(({ job }) => job.account));
      const outcome = await dispatch(this.#sql, this.#epoch, batch, clock);
      for (const id of outcome.refused) {
        undo(id);
        // It moved on, or its runner was drained: the next turn sees which.
        this.#waiting.delete(id);
        this.#unread.add(id);
      }
      for (const { job } of places.filter((place) => outcome.held.some((id) => id === place.job.id))) {
        undo(job.id);
        this.#tell({ t: "queued", job: { ...job, notBeforeMs: nowMs + HELD_RETRY_MS } });
      }
      const coldMs = new Map(places.map((place) => [place.job.id, place.coldMs]));
      for (const work of outcome.dispatched) {
        const { id } = work.job;
        this.#scheduler.apply({ t: "committed", job: id }, nowMs);
        this.#waiting.delete(id);
        this.#running.begin(work.job, { coldMs: coldMs.get(id) ?? 0, atMs: nowMs });
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

  /** Outside the fair queue, and free of charge: that its runner died with others aboard was not its account's doing. */
  async #startAlone(): Promise<void> {
    const alone = this.#isolation.next((runner) => this.#running.countOn(runner), this.#time.nowMs());
    if (alone === null) return;
    const { job, runner } = alone;
    const devices = runner.devices.map(({ id }) => id);
    const place = { job, runner: runner.id, devices, slot: null };
    const { dispatched, held } = await dispatch(this.#sql, this.#epoch, [this.#dispatchOf(place)], NO_CLOCK);
    if (held.length > 0) return; // Somebody's lease, which ends by itself.
    this.#isolation.started(job.id);
    const [work] = dispatched;
    if (work === undefined) return void this.#unread.add(job.id); // It moved on meanwhile.
    this.#tell({ t: "running", job: queuedJobOf(work.job), runner: runner.id, devices, slot: null });
    this.#running.begin(work.job, null);
    this.#host.send(work);
  }

  #dispatchOf({
    job,
    runner,
    devices,
    slot,
  }: Pick<Place, "runner" | "devices" | "slot"> & { readonly job: { readonly id: string } }): Dispatch {
    return {
      job: VideoId.parse(job.id),
      runner: RunnerId.parse(runner),
      devices: devices.map((device) => DeviceId.parse(device)),
      slot,
      slots: this.#roster.slotsOf(runner, devices),
    };
  }

  #apply(job: JobRow): void {
    const phase = PHASE_OF[job.state];
    switch (phase) {
      case "waiting":
        return this.#applyWaiting(job);
      // Its devices are free; who judges its result is none of the scheduler's business.
      case "withheld":
      case "ended":
        return this.#applyEnded(job);
      case "leased":
        return this.#applyLeased(job);
      default:
        return phase satisfies never;
    }
  }

  #applyWaiting(job: JobRow): void {
    if (this.#waiting.has(job.id)) return;
    const queued = queuedJobOf(job);
    const stepsRun = this.#running.forget(job);
    this.#isolation.over(job.id);
    if (this.#isolation.takes(job)) {
      if (stepsRun !== null) this.#tell({ t: "ended", job: job.id, stepsRun });
      return;
    }
    this.#tell(stepsRun === null ? { t: "queued", job: queued } : { t: "requeued", job: queued, stepsRun });
    this.#waiting.set(job.id, queued);
  }

  #applyEnded(job: JobRow): void {
    if (this.#isolation.over(job.id)) return;
    if (this.#waiting.delete(job.id)) return this.#tell({ t: "withdrawn", job: job.id });
    const stepsRun = this.#running.forget(job);
    if (stepsRun !== null) this.#tell({ t: "ended", job: job.id, stepsRun });
  }

  #applyLeased(job: JobRow): void {
    if (job.runnerId === null || job.devices === null) return;
    if (!this.#running.has(job.id)) {
      // It was placed by a commit whose answer did not come: it waits here, and runs there.
      if (this.#waiting.delete(job.id)) this.#tell({ t: "withdrawn", job: job.id });
      const { runnerId: runner, devices, slot } = job;
      this.#tell({ t: "running", job: queuedJobOf(job), runner, devices, slot });
      this.#running.begin(job, null);
      this.#isolation.found(job);
    }
    if (job.state === "cancelling") this.#host.stop(job.runnerId, { job: job.id, epoch: job.epoch }, "cancel");
  }

  #tell(event: SchedulerEvent): void {
    this.#scheduler.apply(event, this.#time.nowMs());
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
