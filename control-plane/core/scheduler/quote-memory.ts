/**
 * What waiting jobs were told, to learn from their starts how good it was.
 *
 * A job counts once per horizon, because one that is stuck for long would otherwise outweigh all others. Of the quotes that
 * it had there, each is as likely to count as the others: the last one of a horizon is better than the rest.
 */
import { horizonOf } from "./quantile.ts";
import type { WaitQuantile } from "./quantile.ts";

/** Jobs followed at once; others teach nothing. */
const FOLLOWED_MAX = 8_192;

/** Up to this horizon (two minutes) the last quote counts: it is the one that somebody waits by. */
const LAST_COUNTS = horizonOf(119_999);

interface Told {
  readonly horizon: number;
  atMs: number;
  waitMs: number;
  /** Quotes so far in this horizon. */
  times: number;
  toldAtMs: number;
}

export class QuoteMemory {
  readonly #quantile: WaitQuantile;
  readonly #told = new Map<string, Told[]>();

  constructor(quantile: WaitQuantile) {
    this.#quantile = quantile;
  }

  told(job: string, waitMs: number, nowMs: number): void {
    const known = this.#told.get(job);
    if (known === undefined && this.#told.size >= FOLLOWED_MAX) return;
    const quotes = known ?? [];
    if (known === undefined) this.#told.set(job, quotes);
    const horizon = horizonOf(waitMs);
    const told = quotes.find((one) => one.horizon === horizon);
    if (told === undefined) {
      quotes.push({ horizon, atMs: nowMs, waitMs, times: 1, toldAtMs: nowMs });
      return;
    }
    if (told.toldAtMs === nowMs) return;
    told.toldAtMs = nowMs;
    told.times++;
    if (horizon > LAST_COUNTS && draw(job, told.times) * told.times >= 1) return;
    told.atMs = nowMs;
    told.waitMs = waitMs;
  }

  started(job: string, nowMs: number): void {
    for (const { atMs, waitMs } of this.#told.get(job) ?? []) this.#quantile.observe(waitMs, nowMs - atMs);
    this.#told.delete(job);
  }

  forget(job: string): void {
    this.#told.delete(job);
  }
}

/** In [0, 1), and always the same for the n-th quote of a job: chance that a replay repeats. */
function draw(job: string, n: number): number {
  let hash = Math.imul(n, 0x9e3779b1);
  for (let at = 0; at < job.length; at++) hash = Math.imul(hash ^ job.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}
