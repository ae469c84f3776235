/**
 * Calls in advance: an isolate that is busy with one key asks the account's object for as many as it had in the last moment,
 * instead of asking for each. They are charged when they are lent and given back if unused, so the rate is never exceeded;
 * and they are lent from the better half of the burst only, so near its limit an account is counted call by call.
 */

/** How long lent calls may be used, and a revoked key with them. */
export const LEND_MS = 250;
/** Of the burst, at once. */
const LEND_SHARE = 0.1;

/** How many calls of a key an isolate had in the present moment, and in the one before. */
export interface Demand {
  readonly sinceMs: number;
  readonly calls: number;
  readonly before: number;
}

/** One more call. */
export function counted(demand: Demand | null, nowMs: number): Demand {
  if (demand === null || nowMs - demand.sinceMs >= 2 * LEND_MS) return { sinceMs: nowMs, calls: 1, before: 0 };
  if (nowMs - demand.sinceMs < LEND_MS) return { ...demand, calls: demand.calls + 1 };
  return { sinceMs: demand.sinceMs + LEND_MS, calls: 1, before: demand.calls };
}

/** What to ask for: this call, and in a row of busy moments the others of the next. */
export function wantedCalls({ before }: Demand): number {
  return Math.max(1, before);
}

/** How many of the wanted calls an object lends of a rate that has `remaining` left. */
export function lentCalls(wanted: number, burst: number, remaining: number): number {
  return Math.max(1, Math.min(wanted, Math.floor(burst * LEND_SHARE), remaining - Math.ceil(burst / 2)));
}
