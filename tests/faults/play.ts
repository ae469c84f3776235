/**
 * A random sequence of what replicas ask of the database, one at a time, through the product's usecases. Played on the real
 * PostgreSQL and on the model, it must be answered alike and leave the same rows.
 */
import type { JobEvent } from "#control-plane/core/job.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import { leasesOfRunner } from "#control-plane/db/leases.ts";
import { eventsAfter } from "#control-plane/db/events.ts";
import { renewLeadership, seeLeadership, takeLeadership } from "#control-plane/db/leader.ts";
import { cancelVideo, deleteVideo } from "#control-plane/usecase/change-video.ts";
import { dispatch } from "#control-plane/usecase/dispatch.ts";
import { readMail, registerRunner, sweepLeases, sweepOld } from "#control-plane/usecase/lead.ts";
import { recordSent, setSubscription } from "#control-plane/usecase/live-session.ts";
import { recordCheckpoint, recordEnd, recordProgress, renew } from "#control-plane/usecase/record-run.ts";
import { submitJob } from "#control-plane/usecase/submit-job.ts";
import { sweepCheckpoints } from "#control-plane/usecase/sweep-checkpoints.ts";
import { codeOf } from "#control-plane/db/transaction.ts";
import { storeKeyOf } from "#control-plane/store/artifact-store.ts";
import type { ArtifactStore } from "#control-plane/store/artifact-store.ts";
import { CreateKey, DeviceId, RequestId, RunnerId, Sha256Hex } from "#protocol/id.ts";
import type { AccountId, VideoId } from "#protocol/id.ts";
import type { LeaseRef, RunError } from "#protocol/runner.ts";
import { Chance } from "./kernel/chance.ts";

export interface Stage {
  readonly sql: Sql;
  readonly accounts: readonly AccountId[];
  /** All rows that matter, as text that is equal if they are. */
  readonly rows: () => Promise<unknown>;
}

const LEADER_MS = 60_000;
/** Mostly these are asked about: the last so many leases, and jobs. */
const LATEST = 5;
const RUNNERS = ["runner-0", "runner-1"].map((id) => RunnerId.parse(id));
const DEVICES = ["cpu-0", "cpu-1"].map((id) => DeviceId.parse(id));
const HASHES = ["a", "b"].map((digit) => Sha256Hex.parse(digit.repeat(64)));
const ERRORS: readonly RunError[] = [
  { class: "retryable", code: "bad_checkpoint", detail: "" },
  { class: "engine_fatal", code: "crashed", detail: "" },
  { class: "user", code: "refused", detail: "no" },
];

/** One line a command: what was asked, what was answered, what the tables hold after it. */
export async function play(seed: number, commands: number, stage: Stage): Promise<readonly string[]> {
  const player = new Player(new Chance(seed), stage);
  const lines: string[] = [];
  for (let at = 0; at < commands; at++) lines.push(await player.next());
  return lines;
}

class Player {
  readonly #chance: Chance;
  readonly #stage: Stage;
  readonly #jobs: VideoId[] = [];
  readonly #keys: CreateKey[] = [];
  /** As dispatched, newest last. */
  readonly #leases: LeaseRef[] = [];
  #leader = 0;
  #mail: readonly bigint[] = [];

  constructor(chance: Chance, stage: Stage) {
    this.#chance = chance;
    this.#stage = stage;
  }

  async next(): Promise<string> {
    const [name, act] = this.#command();
    let answer: unknown;
    try {
      answer = await act();
    } catch (error) {
      answer = `failed ${codeOf(error)} ${(error as Error).name}`;
    }
    const text = JSON.stringify([name, answer, await this.#stage.rows()], (_key, value: unknown) =>
      typeof value === "bigint" ? String(value) : value,
    );
    return this.#jobs.reduce((line, id, index) => line.replaceAll(id, `job-${index}`), text);
  }

  #command(): readonly [string, () => Promise<unknown>] {
    const { sql } = this.#stage;
    const chance = this.#chance;
    const draw = chance.unit();
    const lease = this.#lease();
    const account = chance.pick(this.#stage.accounts);
    const job = this.#jobs.length === 0 ? null : chance.pick(this.#jobs.slice(-LATEST));
    if (job === null || lease === null || draw < 0.08) return ["submit", () => this.#submit(account)];
    if (draw < 0.12)
      return ["take", async () => (this.#leader = (await takeLeadership(sql, "a", null, LEADER_MS)) ?? this.#leader)];
    if (draw < 0.14)
      return ["renew leadership", () => renewLeadership(sql, this.#leader - chance.whole(0, 1), LEADER_MS)];
    if (draw < 0.15) return ["look", () => seeLeadership(sql)];
    if (draw < 0.42) return ["dispatch", () => this.#dispatch(job)];
    if (draw < 0.5)
      return [
        "progress",
        async () =>
          (await recordProgress(sql, [this.#progress(lease)])).map(({ id, progress, state }) => [id, progress, state]),
      ];
    if (draw < 0.6) return ["checkpoint", () => this.#checkpoint(lease)];
    if (draw < 0.66) return ["renew", () => renew(sql, chance.pick(RUNNERS), [lease])];
    if (draw < 0.82) return ["end", () => this.#end(lease)];
    if (draw < 0.87) return ["cancel", async () => (await cancelVideo(sql, account, job))?.job.state ?? null];
    if (draw < 0.89) return ["delete", async () => (await deleteVideo(sql, account, job))?.job.state ?? null];
    if (draw < 0.92) return ["mail", () => this.#readMail()];
    if (draw < 0.94)
      return ["sweep", async () => [(await sweepLeases(sql, this.#leader, 0)).lost, await sweepOld(sql, this.#leader)]];
    if (draw < 0.96) return ["sweep checkpoints", () => sweepCheckpoints(sql, NO_STORE)];
    if (draw < 0.97)
      return [
        "held",
        async () => (await leasesOfRunner(sql, chance.pick(RUNNERS))).toSorted((a, b) => (a.job < b.job ? -1 : 1)),
      ];
    if (draw < 0.98) return ["subscribe", () => setSubscription(sql, account, chance.happens(0.8))];
    if (draw < 0.99) return ["sent", () => recordSent(sql, account, chance.whole(0, 9))];
    if (draw < 0.995)
      return [
        "events",
        async () =>
          (await eventsAfter(sql, account, chance.whole(0, 5), 3)).map(({ type, sequence_number }) => [
            type,
            sequence_number,
          ]),
      ];
    return ["register", () => this.#register()];
  }

  /** Of a job, under its epoch or one beside it. */
  #lease(): LeaseRef | null {
    if (this.#jobs.length === 0) return null;
    const latest = this.#leases.slice(-LATEST);
    if (latest.length > 0 && this.#chance.happens(0.75)) return this.#chance.pick(latest);
    return { job: this.#chance.pick(this.#jobs), epoch: this.#chance.whole(1, 3) };
  }

  async #submit(account: AccountId): Promise<unknown> {
    const chance = this.#chance;
    const isRepeated = this.#keys.length > 0 && chance.happens(0.2);
    const createKey = isRepeated ? chance.pick(this.#keys) : CreateKey.parse(`ck_${chance.hex(20)}`);
    this.#keys.push(createKey);
    const idempotency = chance.happens(0.5)
      ? { key_sha256: chance.pick(HASHES), fingerprint: chance.pick(HASHES) }
      : undefined;
    const size = chance.pick(["832x480", "1280x720"]);
    const steps = chance.whole(2, 12);
    const deadline = steps === 12 ? { start_deadline_seconds: 3_600 } : {};
    const video = { prompt: "p", size, seconds: 4, steps, seed: 5, ...deadline };
    const outcome = await submitJob(this.#stage.sql, {
      account,
      requestId: RequestId.parse(`req_${chance.hex(32)}`),
      submit: { create_key: createKey, video, idempotency },
      reference: null,
      seed: 1,
      loadOf: () => ({ queued: 0, queuedGpuS: 0, queuedGpuSMax: 1, predictedStartS: null, predictedStartP90S: null }),
    });
    if (!outcome.ok) return outcome.refusal.code;
    if (!this.#jobs.includes(outcome.job.id)) this.#jobs.push(outcome.job.id);
    return [outcome.job.id, outcome.repeated, outcome.job.price];
  }

  async #dispatch(job: VideoId): Promise<unknown> {
    const chance = this.#chance;
    const isWide = chance.happens(0.2);
    const devices = isWide ? DEVICES : [chance.pick(DEVICES)];
    const slot = isWide || chance.happens(0.3) ? null : chance.whole(0, 1);
    const placement = { job, runner: chance.pick(RUNNERS), devices, slot, slots: 2 };
    const clock = { accounts: [], tiers: [] };
    const epoch = this.#leader - (chance.happens(0.1) ? 1 : 0);
    const { dispatched, refused, held } = await dispatch(this.#stage.sql, epoch, [placement], clock);
    for (const work of dispatched) this.#leases.push({ job: work.job.id, epoch: work.job.epoch });
    return [dispatched.map(({ job: { id, epoch: at }, checkpoint }) => [id, at, checkpoint?.step ?? 0]), refused, held];
  }

  #progress(lease: LeaseRef) {
    return { lease, progress: this.#chance.whole(1, 110), uploading: this.#chance.happens(0.2) };
  }

  #checkpoint(lease: LeaseRef): Promise<unknown> {
    const sha256 = Sha256Hex.parse(this.#chance.hex(64));
    const storeKey = storeKeyOf(lease, "checkpoint", sha256);
    const step = this.#chance.whole(1, 12);
    return recordCheckpoint(this.#stage.sql, { lease, step, storeKey, sha256, bytes: 10, exactness: "exact" });
  }

  async #end(lease: LeaseRef): Promise<unknown> {
    const sha256 = Sha256Hex.parse(this.#chance.hex(64));
    const { epoch } = lease;
    const artifact = { sha256, bytes: 7, latents_sha256: null, frames_sha256: null };
    const step = this.#chance.whole(0, 12);
    const event = this.#chance.pick<Extract<JobEvent, { epoch: number }>>([
      { kind: "finished", epoch, artifact, artifactKey: storeKeyOf(lease, "artifact", sha256) },
      { kind: "run_failed", epoch, error: this.#chance.pick(ERRORS) },
      { kind: "stopped", epoch, why: this.#chance.pick(["preempt", "cancel", "drain"]), step },
      { kind: "lost", epoch, how: "died", aboard: this.#chance.whole(1, 3) },
      { kind: "lost", epoch, how: "not_taken" },
    ]);
    const moved = await recordEnd(this.#stage.sql, lease, event);
    return moved.ok ? [moved.before.state, moved.after.state] : moved.refusal;
  }

  async #readMail(): Promise<unknown> {
    const { ids, jobs, termsChanged } = await readMail(this.#stage.sql, this.#leader, this.#mail);
    this.#mail = this.#chance.happens(0.8) ? ids : [];
    return [jobs.toSorted(), termsChanged, ids.length];
  }

  #register(): Promise<void> {
    const caps = { checkpoint: "exact", step_progress: true, cancel: "step" } as const;
    const devices = DEVICES.map((id) => ({ id, gpu: "CPU", vram_bytes: 1, slots: 2 }));
    const id = this.#chance.pick(RUNNERS);
    return registerRunner(this.#stage.sql, { id, engine: "e", build: "b", models: ["reference"], caps, devices });
  }
}

const NO_STORE: ArtifactStore = {
  put: () => Promise.reject(new Error("nothing is put")),
  stat: () => Promise.resolve(null),
  read: () => {
    throw new Error("nothing is read");
  },
  remove: () => Promise.resolve(),
};
