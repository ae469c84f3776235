/** What runs only while this replica leads: the scheduling loop, the runner sockets that feed it, and moderation. */
import { UNEXPLAINED, runSpecOf } from "#control-plane/core/job-view.ts";
import type { ResultToJudge, Verdict } from "#control-plane/core/moderation.ts";
import type { Explanation } from "#control-plane/core/job-view.ts";
import type { RunnerTerms } from "#control-plane/core/scheduler/event.ts";
import type { SchedulerLimits } from "#control-plane/core/scheduler/limits.ts";
import type { StageTime } from "#control-plane/core/scheduler/stage-clock.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import { referenceKeyOf } from "#control-plane/store/artifact-store.ts";
import type { ArtifactStore } from "#control-plane/store/artifact-store.ts";
import type { FileUrls } from "#control-plane/store/store-url.ts";
import type { Dispatched } from "#control-plane/usecase/dispatch.ts";
import type { AccountId, DeviceId, RunnerId, Sha256Hex, VideoId } from "#protocol/id.ts";
import { invariant } from "#protocol/invariant.ts";
import type { LeaseRef, Resume, RunSpec, Stage } from "#protocol/runner.ts";
import type { EdgeSender } from "./edge-sender.ts";
import type { Reign } from "./leadership.ts";
import { Moderation } from "./moderation.ts";
import { SchedulerLoop } from "./scheduler-loop.ts";
import type { LoopHost } from "./ticker.ts";

/** The runner sockets, as the reign sees them. */
export interface Runners {
  open(): void;
  close(reason: string): void;
  assign(
    runner: RunnerId,
    work: {
      readonly lease: LeaseRef;
      readonly devices: readonly DeviceId[];
      readonly spec: RunSpec;
      readonly resume: Resume | null;
    },
  ): void;
  stop(runner: RunnerId, lease: LeaseRef, why: "preempt" | "cancel"): void;
  trust(secrets: ReadonlyMap<RunnerId, Sha256Hex>): void;
}

export interface ReignHost extends LoopHost {
  readonly sql: Sql;
  readonly store: ArtifactStore;
  readonly urls: FileUrls;
  readonly limits: SchedulerLimits;
  /** The moderation hook's verdict on a result; null: none. */
  readonly judgeResult: (result: ResultToJudge) => Promise<Verdict | null>;
}

export class LeaderReign implements Reign {
  readonly #host: ReignHost;
  readonly #runners: () => Runners;
  readonly #sender: () => EdgeSender;
  #loop: SchedulerLoop | null = null;
  #moderation: Moderation | null = null;
  #epoch: number | null = null;

  /** Runners and sender are asked for late: they in turn report to this reign. */
  constructor(host: ReignHost, runners: () => Runners, sender: () => EdgeSender) {
    this.#host = host;
    this.#runners = runners;
    this.#sender = sender;
  }

  async begin(epoch: number): Promise<void> {
    const loop = new SchedulerLoop(this.#host.sql, this.#host.store, epoch, {
      clock: this.#host.clock,
      log: this.#host.log,
      meter: this.#host.meter,
      send: (work) => this.#send(work),
      limits: this.#host.limits,
      stop: (runner, lease, why) => this.#runners().stop(runner, lease, why),
      trust: (secrets) => this.#runners().trust(secrets),
    });
    await loop.load();
    const { sql, judgeResult } = this.#host;
    this.#moderation = new Moderation(sql, epoch, {
      ...this.#host,
      judgeResult,
      urlOf: (key) => this.#host.urls.sign({ method: "GET", key }, this.#host.clock.nowMs()),
      moved: () => this.wake(),
    });
    this.#loop = loop;
    this.#epoch = epoch;
    this.#host.meter.show("leader_epoch", epoch);
    loop.start();
    this.#moderation.start();
    this.#sender().start();
    this.#runners().open();
  }

  async end(): Promise<void> {
    const loop = this.#loop;
    const moderation = this.#moderation;
    this.#loop = null;
    this.#moderation = null;
    this.#epoch = null;
    this.#host.meter.show("leader_epoch", 0);
    this.#runners().close("this replica leads no more");
    await Promise.all([loop?.stop(), moderation?.stop(), this.#sender().stop()]);
  }

  wake(): void {
    this.#loop?.wake();
    this.#moderation?.wake();
    this.#sender().wake();
  }

  runnerUp(runner: RunnerTerms): void {
    this.#loop?.runnerUp(runner);
  }

  runnerDown(runner: RunnerId): void {
    this.#loop?.runnerDown(runner);
  }

  progressed(job: VideoId, stepsDone: number): void {
    this.#loop?.progressed(job, stepsDone);
  }

  staged(lease: LeaseRef, stage: Stage): void {
    this.#loop?.staged(lease, stage);
  }

  stageTimes(lease: LeaseRef, how: "finished" | "broken"): readonly StageTime[] {
    return this.#loop?.stageTimes(lease, how) ?? [];
  }

  /** False while it loads the world, too. */
  get leads(): boolean {
    return this.#loop !== null;
  }

  /** Null while it does not lead. */
  get epoch(): number | null {
    return this.#epoch;
  }

  explain(id: VideoId): Explanation {
    return this.#loop?.explain(id) ?? UNEXPLAINED;
  }

  /** Those of the jobs that wait and are the account's. */
  explainOwn(account: AccountId, ids: readonly VideoId[]): ReadonlyMap<VideoId, Explanation> {
    const waiting = new Set(this.waitingOf(account));
    return new Map(ids.flatMap((id) => (waiting.has(id) ? [[id, this.explain(id)]] : [])));
  }

  waitingOf(account: AccountId): readonly VideoId[] {
    return this.#loop?.waitingOf(account) ?? [];
  }

  #send({ job, checkpoint }: Dispatched): void {
    invariant(job.runnerId !== null && job.devices !== null, "a dispatched job has a runner");
    const nowMs = this.#host.clock.nowMs();
    const { urls } = this.#host;
    const reference =
      job.referenceSha256 === null
        ? null
        : urls.sign({ method: "GET", key: referenceKeyOf(job.referenceSha256) }, nowMs);
    this.#runners().assign(job.runnerId, {
      lease: { job: job.id, epoch: job.epoch },
      devices: job.devices,
      spec: runSpecOf(job, reference),
      resume:
        checkpoint === null
          ? null
          : {
              step: checkpoint.step,
              url: urls.sign({ method: "GET", key: checkpoint.storeKey }, nowMs),
              sha256: checkpoint.sha256,
              bytes: Number(checkpoint.bytes),
              written_for: checkpoint.writtenFor,
            },
    });
  }
}
