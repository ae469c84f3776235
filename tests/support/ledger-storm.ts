/** Many clients on a few accounts at once: submits, top-ups, expiries, voids, adjustments, cancels and ends, chosen by a seed. */
import { codeOf } from "#control-plane/db/transaction.ts";
import { recordCheckpoint, recordEnd } from "#control-plane/usecase/record-run.ts";
import { cancelVideo } from "#control-plane/usecase/change-video.ts";
import { adjust, grantCredits, voidGrant } from "#control-plane/usecase/credits.ts";
import { expireGrants } from "#control-plane/usecase/expire-grants.ts";
import { moveJob } from "#control-plane/usecase/move-job.ts";
import type { AccountId, VideoId } from "#protocol/id.ts";
import { milliCredits } from "#protocol/unit.ts";
import { anArtifact, sha256, TINY } from "./studio.ts";
import type { Studio } from "./studio.ts";
import { BY_TEST } from "./by-test.ts";

export interface Storm {
  readonly clients: number;
  readonly operations: number;
  readonly accounts: number;
  readonly seed: number;
  /** Stops early when it has lasted so long. */
  readonly lastsMs?: number;
}

/** How often each operation was done, and how often it was refused. */
export type Tally = Readonly<Record<string, number>>;

/** lock_not_available */
const LOCK_TIMEOUT = "55P03";
const CATEGORIES = ["promotional", "plan", "paid"] as const;
/** What a grant of the storm lives, in ms; null never ends. */
const LIVES_MS = [null, null, 20, 80, 300, 1_000, 4_000, 60_000] as const;
const STEPS = TINY.steps;

class Client {
  readonly #studio: Studio;
  readonly #random: () => number;
  readonly #accounts: readonly Possessions[];
  readonly tally: Record<string, number> = {};

  constructor(studio: Studio, accounts: readonly Possessions[], seed: number) {
    this.#studio = studio;
    this.#accounts = accounts;
    this.#random = random(seed);
  }

  /** An operation that never got its lock, on a machine that is too busy, did nothing: the next one comes. */
  async act(): Promise<void> {
    try {
      await this.#act();
    } catch (error) {
      if (codeOf(error) !== LOCK_TIMEOUT) throw error;
      this.#count("gave up waiting for a lock");
    }
  }

  async #act(): Promise<void> {
    const account = this.#pick(this.#accounts);
    if (account === undefined) return;
    const dice = this.#random();
    if (dice < 0.34) return this.#submit(account);
    if (dice < 0.5) return this.#topUp(account);
    if (dice < 0.54) return this.#expire();
    if (dice < 0.58) return this.#void(account);
    if (dice < 0.66) return this.#adjust(account);
    const job = this.#takeJob(account);
    if (job === null) return this.#submit(account);
    return dice < 0.74 ? this.#cancelWaiting(account, job) : this.#run(account, job);
  }

  async #submit(account: Possessions): Promise<void> {
    const steps = 1 + Math.floor(this.#random() * 20);
    const outcome = await this.#studio.submit(account.id, { ...TINY, steps });
    this.#count(outcome.ok ? "submit" : `submit refused: ${outcome.refusal.code}`);
    if (outcome.ok) account.jobs.push(outcome.job.id);
  }

  async #topUp(account: Possessions): Promise<void> {
    const lifeMs = this.#pick(LIVES_MS) ?? null;
    const amount = milliCredits(BigInt(1 + Math.floor(this.#random() * 1_500)));
    const priority = Math.floor(this.#random() * 3) * 25;
    const category = this.#pick(CATEGORIES) ?? "paid";
    const expiresAt = lifeMs === null ? null : new Date(Date.now() + lifeMs);
    const terms = { account: account.id, amount, priority, category, effectiveAt: null, expiresAt };
    const granted = await grantCredits(this.#studio.sql, BY_TEST, terms, null);
    this.#count(granted.ok ? "top-up" : `top-up refused: ${granted.refusal.code}`);
    const grant = granted.ok ? granted.value.entries[0]?.grantId : undefined;
    if (grant !== undefined) account.grants.push(grant);
  }

  async #expire(): Promise<void> {
    const expired = await expireGrants(this.#studio.sql, await this.#studio.leaderEpoch());
    this.#count("sweep");
    this.#count("grant expired", expired.length);
  }

  async #void(account: Possessions): Promise<void> {
    const grant = this.#pick(account.grants);
    if (grant === undefined) return this.#topUp(account);
    const voided = await voidGrant(this.#studio.sql, BY_TEST, grant, "storm", null);
    this.#count(voided.ok ? "void" : `void refused: ${voided.refusal.code}`);
  }

  async #adjust(account: Possessions): Promise<void> {
    const amount = milliCredits(BigInt(Math.floor(this.#random() * 400) - 250) || 1n);
    const adjusted = await adjust(this.#studio.sql, BY_TEST, account.id, amount, "storm", null);
    this.#count(adjusted.ok ? "adjust" : `adjust refused: ${adjusted.refusal.code}`);
  }

  async #cancelWaiting({ id }: Possessions, job: VideoId): Promise<void> {
    await cancelVideo(this.#studio.sql, id, job);
    this.#count("cancel while queued");
  }

  async #run({ id }: Possessions, job: VideoId): Promise<void> {
    const { sql } = this.#studio;
    const dice = this.#random();
    if (dice < 0.15) {
      await moveJob(sql, job, { kind: "deadline_passed", which: "total" });
      return this.#count("fail by the platform's fault");
    }
    const { epoch, steps } = (await this.#studio.dispatched(job)).job;
    const lease = { job, epoch };
    if (dice < 0.65) {
      const done = { kind: "finished", epoch, artifact: anArtifact(), artifactKey: "storm.mp4" } as const;
      await recordEnd(sql, lease, done);
      return this.#count("finish");
    }
    if (dice < 0.75) {
      const error = { class: "user", code: "bad_reference", detail: "" } as const;
      await recordEnd(sql, lease, { kind: "run_failed", epoch, error });
      return this.#count("fail");
    }
    const step = Math.floor(this.#random() * Math.min(steps, STEPS));
    if (step > 0) {
      const file = { storeKey: "x", sha256: sha256("c"), bytes: 1, exactness: "exact" } as const;
      await recordCheckpoint(sql, { lease, step, ...file });
    }
    await cancelVideo(sql, id, job);
    await recordEnd(sql, lease, { kind: "stopped", epoch, why: "cancel", step });
    this.#count("cancel while running");
  }

  #takeJob({ jobs }: Possessions): VideoId | null {
    return jobs.splice(Math.floor(this.#random() * jobs.length), 1)[0] ?? null;
  }

  #pick<T>(items: readonly T[]): T | undefined {
    return items[Math.floor(this.#random() * items.length)];
  }

  #count(what: string, times = 1): void {
    this.tally[what] = (this.tally[what] ?? 0) + times;
  }
}

interface Possessions {
  readonly id: AccountId;
  readonly jobs: VideoId[];
  readonly grants: string[];
}

/** Runs the storm; afterwards every job still open waits in its queue. */
export async function rage(
  studio: Studio,
  { clients, operations, accounts, seed, lastsMs = Infinity }: Storm,
): Promise<{ readonly accounts: readonly AccountId[]; readonly done: number; readonly tally: Tally }> {
  await studio.leaderEpoch();
  const owners: Possessions[] = [];
  for (let n = 0; n < accounts; n++) owners.push({ id: await studio.account("pro"), jobs: [], grants: [] });
  const endMs = performance.now() + lastsMs;
  let done = 0;
  const all = Array.from({ length: clients }, (_, n) => new Client(studio, owners, seed * 1_000 + n));
  await Promise.all(
    all.map(async (client) => {
      while (done++ < operations && performance.now() < endMs) await client.act();
    }),
  );
  const tally: Record<string, number> = {};
  for (const client of all) {
    for (const [what, times] of Object.entries(client.tally)) tally[what] = (tally[what] ?? 0) + times;
  }
  return { accounts: owners.map(({ id }) => id), done: done - clients, tally };
}

/** Mulberry32: small, and the same everywhere. */
function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
