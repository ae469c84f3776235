/**
 * What waiting jobs were told last, per horizon, to learn from their starts how good it was. A job counts once per
 * horizon, with the last quote it had there: one that is stuck for long would outweigh all others.
 */
import { horizonOf } from "./quantile.ts";
import type { WaitQuantile } from "./quantile.ts";

/** Jobs followed at once; others teach nothing. */
const FOLLOWED_MAX = 8_192;

interface Told {
  readonly atMs: number;
  readonly waitMs: number;
}

export class QuoteMemory {
  readonly #quantile: WaitQuantile;
  readonly #told = new Map<string, Map<number, Told>>();

  constructor(quantile: WaitQuantile) {
    this.#quantile = quantile;
  }

  told(job: string, waitMs: number, nowMs: number): void {
    const known = this.#told.get(job);
    if (known === undefined && this.#told.size >= FOLLOWED_MAX) return;
    const quotes = known ?? new Map<number, Told>();
    if (known === undefined) this.#told.set(job, quotes);
    quotes.set(horizonOf(waitMs), { atMs: nowMs, waitMs });
  }

  started(job: string, nowMs: number): void {
    for (const { atMs, waitMs } of this.#told.get(job)?.values() ?? []) this.#quantile.observe(waitMs, nowMs - atMs);
    this.#told.delete(job);
  }

  forget(job: string): void {
    this.#told.delete(job);
  }
}
