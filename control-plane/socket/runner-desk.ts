/**
 * Answers runners: every frame about a job becomes one fenced usecase. Nothing is kept here; Postgres decides what a
 * lease is still worth.
 */
import type { JobEvent } from "#control-plane/core/job.ts";
import type { Meter } from "#control-plane/core/meter.ts";
import type { RunnerTerms } from "#control-plane/core/scheduler/event.ts";
import type { StageTime } from "#control-plane/core/scheduler/stage-clock.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import { checksumOf, hashNamedBy, storeKeyOf } from "#control-plane/store/artifact-store.ts";
import type { ArtifactStore } from "#control-plane/store/artifact-store.ts";
import type { FileUrls } from "#control-plane/store/store-url.ts";
import { leasesHeldBy, registerRunner } from "#control-plane/usecase/lead.ts";
import { loseRunner } from "#control-plane/usecase/lose-runner.ts";
import { recordCheckpoint, recordEnd, renew } from "#control-plane/usecase/record-run.ts";
import { isTrusted } from "#control-plane/usecase/runner-identity.ts";
import type { RunnerCredential } from "#control-plane/usecase/runner-identity.ts";
import type { RunnerId } from "#protocol/id.ts";
import type { FromRunner, LeaseRef } from "#protocol/runner.ts";
import type { HubHost } from "./runner-hub.ts";
import type { Hello, Recorded } from "./runner-session.ts";

type Frame<Kind extends FromRunner["t"]> = Extract<FromRunner, { t: Kind }>;

export interface DeskHost {
  readonly sql: Sql;
  readonly store: ArtifactStore;
  readonly urls: FileUrls;
  readonly now: () => number;
  readonly meter: Meter;
  /** Results are judged before they are shown. */
  readonly reviews: boolean;
  /** Null while this replica does not lead. */
  readonly leaderEpoch: () => number | null;
  readonly report: (frame: Frame<"step"> | Frame<"stage">) => void;
  /** How long the stages of an attempt took that is over. */
  readonly stageTimes: (lease: LeaseRef, how: "finished" | "broken") => readonly StageTime[];
  /** A job moved: scheduler and sender look at once. */
  readonly moved: () => void;
  readonly up: (runner: RunnerTerms) => void;
  readonly down: (runner: RunnerId) => void;
}

export class RunnerDesk implements HubHost {
  readonly #host: DeskHost;

  constructor(host: DeskHost) {
    this.#host = host;
  }

  register(hello: Hello): Promise<void> {
    const { runner, engine, build, models, caps, devices } = hello;
    return registerRunner(this.#host.sql, { id: runner, engine, build, models, caps, devices });
  }

  trusts(credential: RunnerCredential): Promise<boolean> {
    return isTrusted(this.#host.sql, credential);
  }

  heldBy(runner: RunnerId) {
    return leasesHeldBy(this.#host.sql, runner);
  }

  heartbeat(runner: RunnerId, leases: readonly LeaseRef[]) {
    return renew(this.#host.sql, runner, leases);
  }

  report(frame: Frame<"step"> | Frame<"stage">): void {
    this.#host.report(frame);
  }

  uploadUrl({ lease, kind, sha256, bytes }: Frame<"upload">): string {
    return this.#host.urls.sign({ method: "PUT", key: storeKeyOf(lease, kind, sha256), bytes }, this.#host.now());
  }

  async checkpoint({ lease, step, sha256, bytes, exactness }: Frame<"checkpoint">): Promise<Recorded> {
    const storeKey = storeKeyOf(lease, "checkpoint", sha256);
    if (!(await this.#isStored(storeKey, bytes))) return this.#notStored(lease, storeKey);
    return recordCheckpoint(this.#host.sql, { lease, step, storeKey, sha256, bytes, exactness });
  }

  async finished({ lease, artifact }: Frame<"finished">): Promise<Recorded> {
    const artifactKey = storeKeyOf(lease, "artifact", artifact.sha256);
    if (!(await this.#isStored(artifactKey, artifact.bytes))) return this.#notStored(lease, artifactKey);
    const finished = {
      kind: "finished",
      epoch: lease.epoch,
      artifact,
      artifactKey,
      review: this.#host.reviews,
    } as const;
    return this.#end(lease, finished);
  }

  failed({ lease, error }: Frame<"failed">): Promise<Recorded> {
    return this.#end(lease, { kind: "run_failed", epoch: lease.epoch, error });
  }

  stopped({ lease, why, step }: Frame<"stopped">): Promise<Recorded> {
    return this.#end(lease, { kind: "stopped", epoch: lease.epoch, why, step });
  }

  async lost(runner: RunnerId, leases: readonly LeaseRef[]): Promise<void> {
    const leaderEpoch = this.#host.leaderEpoch();
    // The next leader sees what became of the runner.
    if (leaderEpoch === null || leases.length === 0) return;
    for (const lease of leases) this.#host.stageTimes(lease, "broken");
    const lost = await loseRunner(this.#host.sql, leaderEpoch, runner, leases);
    if (lost.length === 0) return;
    this.#host.meter.count("attempts_ended_total", "died", lost.length);
    this.#host.moved();
  }

  notTaken(lease: LeaseRef): Promise<void> {
    return this.#conclude(lease, { kind: "lost", epoch: lease.epoch, how: "not_taken" });
  }

  /** A runner that drains is offered nothing more; one that is busy would be. */
  refused(lease: LeaseRef, reason: Frame<"refused">["reason"]): Promise<void> {
    const refused = reason !== "draining";
    return this.#conclude(lease, { kind: "lost", epoch: lease.epoch, how: "not_taken", refused });
  }

  stopOverdue(lease: LeaseRef): Promise<void> {
    return this.#conclude(lease, { kind: "lost", epoch: lease.epoch, how: "died", aboard: 1 });
  }

  up(runner: RunnerTerms): void {
    this.#host.up(runner);
  }

  down(runner: RunnerId): void {
    this.#host.down(runner);
  }

  async #isStored(key: string, bytes: number): Promise<boolean> {
    const { store, urls } = this.#host;
    const stored = await store.stat(key);
    return stored?.bytes === bytes && (urls.checkedBy === "us" || stored.checksum === checksumOf(hashNamedBy(key)));
  }

  /** Announced, but its bytes are not there: the attempt is worth nothing, the job goes on from what is kept. */
  async #notStored(lease: LeaseRef, key: string): Promise<Recorded> {
    const error = { class: "retryable", code: "not_stored", detail: `${key} is not in the store` } as const;
    await this.#end(lease, { kind: "run_failed", epoch: lease.epoch, error });
    return "stale";
  }

  async #conclude(lease: LeaseRef, event: Extract<JobEvent, { kind: "lost" }>): Promise<void> {
    const leaderEpoch = this.#host.leaderEpoch();
    if (leaderEpoch !== null) await this.#end(lease, event, leaderEpoch);
  }

  async #end(lease: LeaseRef, event: Extract<JobEvent, { epoch: number }>, leaderEpoch?: number): Promise<Recorded> {
    const stages = this.#host.stageTimes(lease, event.kind === "finished" ? "finished" : "broken");
    const moved = await recordEnd(this.#host.sql, lease, event, {
      stages,
      ...(leaderEpoch === undefined ? {} : { leaderEpoch }),
    });
    if (!moved.ok) return "stale";
    this.#host.meter.count("attempts_ended_total", "how" in event ? event.how : event.kind);
    this.#host.moved();
    return "recorded";
  }
}
