/**
 * How far apart retries are spread. Alone, a retry goes at once; when a rack goes down, a thousand at once would be the next
 * incident. The budget is a share of what was dispatched lately, never less than some a minute; being over it delays, never fails.
 */
import { PRODUCTION_LIMITS } from "./scheduler/limits.ts";

/** Retries and dispatches are counted over this long. */
export const BUDGET_WINDOW_MS = 300_000;
const BUDGET_SHARE = 0.1;
/** Over budget, retries are spread over this long. */
export const SPREAD_MS_MAX = 30_000;

/** Of all jobs, within the window. */
export interface RetryLoad {
  /** Attempts that broke. */
  readonly broken: number;
  readonly dispatched: number;
  /** That may break without delay, however few were dispatched; null: as everywhere. */
  readonly perMinute: number | null;
}

/** 0 while half of the budget is left, then rising to the widest when it is used up. */
export function spreadMs({ broken, dispatched, perMinute }: RetryLoad): number {
  const least = ((perMinute ?? PRODUCTION_LIMITS.retriesPerMinute) * BUDGET_WINDOW_MS) / 60_000;
  const budget = Math.max(BUDGET_SHARE * dispatched, least);
  const strain = (broken - budget / 2) / (budget / 2);
  return SPREAD_MS_MAX * Math.min(1, Math.max(0, strain));
}

/** In [0, 1), even over jobs, the same for the same try: jitter that needs no source of randomness (FNV-1a). */
export function chanceOf(id: string, attempt: number): number {
  let hash = 0x811c9dc5;
  for (const char of `${id}/${attempt}`) {
    hash = Math.imul(hash ^ char.charCodeAt(0), 0x01000193);
  }
  // The last characters differ most and were mixed least.
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  hash = Math.imul(hash ^ (hash >>> 12), 0x297a2d39);
  return ((hash ^ (hash >>> 15)) >>> 0) / 2 ** 32;
}
