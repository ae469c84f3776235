/**
 * What replicas know of the queue when they admit: written by the leader about every second, read by each replica at most
 * once in two. What is older than ten seconds says nothing any more: without a leader, jobs are admitted by caps alone.
 */
import type { Load } from "#control-plane/core/admission.ts";
import { limitsWith } from "#control-plane/core/scheduler/limit-overrides.ts";
import { PRODUCTION_LIMITS } from "#control-plane/core/scheduler/limits.ts";
import type { Outlook } from "#control-plane/core/scheduler/quotes.ts";
import { freshOutlooks, saveOutlooks } from "#control-plane/db/admission-summary.ts";
import type { SummaryRow } from "#control-plane/db/admission-summary.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import { assertLeader } from "#control-plane/db/leader.ts";
import { limitOverrides } from "#control-plane/db/tiers.ts";
import { inTransaction } from "#control-plane/db/transaction.ts";
import { classIdOf } from "./read-terms.ts";

const CACHE_MS = 2_000;
const AGE_MAX_MS = 10_000;

/** Under the leader's epoch: an old leader tells nobody anything. */
export function publishOutlooks(sql: Sql, epoch: number, outlooks: readonly Outlook[]): Promise<void> {
  return inTransaction(sql, async (tx) => {
    await assertLeader(tx, epoch);
    await saveOutlooks(tx, epoch, outlooks);
  });
}

interface Seen {
  readonly atMs: number;
  readonly rows: readonly SummaryRow[];
  readonly queuedGpuSMax: number;
}

export class AdmissionOutlook {
  readonly #sql: Sql;
  readonly #now: () => number;
  #seen: Seen | null = null;
  /** All that ask while one reads wait for the same answer. */
  #reading: Promise<Seen> | null = null;

  constructor(sql: Sql, now: () => number) {
    this.#sql = sql;
    this.#now = now;
  }

  /** What is known now; asked before the submit's transaction, so that it needs no second connection. */
  async read(): Promise<(tier: string, model: string, className: string) => Load> {
    const known = this.#seen;
    const seen = known !== null && this.#now() - known.atMs < CACHE_MS ? known : await this.#readAgain();
    const nowMs = this.#now();
    const rows = seen.rows.filter(({ ageMs }) => ageMs + nowMs - seen.atMs <= AGE_MAX_MS);
    const queued = rows.reduce((sum, row) => sum + row.queued, 0);
    const queuedGpuS = Math.ceil(rows.reduce((sum, row) => sum + Number(row.backlogMs), 0) / 1_000);
    return (tier, model, className) => {
      const classId = classIdOf(model, className);
      const row = rows.find((candidate) => candidate.tier === tier && candidate.class === classId);
      return {
        queued,
        queuedGpuS,
        queuedGpuSMax: seen.queuedGpuSMax,
        predictedStartS: secondsOf(row?.startP50Ms ?? null),
        predictedStartP90S: secondsOf(row?.startP90Ms ?? null),
      };
    };
  }

  #readAgain(): Promise<Seen> {
    this.#reading ??= this.#load().finally(() => (this.#reading = null));
    return this.#reading;
  }

  async #load(): Promise<Seen> {
    const atMs = this.#now();
    const [rows, overrides] = await Promise.all([freshOutlooks(this.#sql, AGE_MAX_MS), limitOverrides(this.#sql)]);
    // The same in every environment.
    const { queuedGpuSecondsMax: queuedGpuSMax } = limitsWith(PRODUCTION_LIMITS, overrides);
    this.#seen = { atMs, rows, queuedGpuSMax };
    return this.#seen;
  }
}

function secondsOf(ms: bigint | null): number | null {
  return ms === null ? null : Math.ceil(Number(ms) / 1_000);
}
