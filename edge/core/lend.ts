/**
 * Calls in advance: an isolate that is busy with one key asks the account's object for as many as it had in the last moment,
 * instead of asking for each. They are charged when they are lent and given back if unused, and while they are out the bucket
 * fills up by so much less: what is left and what is lent are never more than the burst together. They are lent from the better
 * half of the burst only, so near its limit an account is counted call by call.
 */

import { charge, type Charge, look, type Rate, withheld } from "./rate-limit.ts";

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

/** What an isolate asks of the object, and what became of its loan before. */
export interface Asked {
  /** This one included. */
  readonly calls: number;
  readonly ended: Ended | null;
}
export interface Ended {
  /** Which loans it was of. */
  readonly sinceMs: number;
  /** Calls that were lent beside the one that asked, and how much of the rate the unused ones are. */
  readonly calls: number;
  readonly unusedMicros: number;
}

/** Loans that are out, from the first of them on, and until when the last can be used. */
export interface Out {
  readonly sinceMs: number;
  readonly calls: number;
  readonly untilMs: number;
}

export interface Lent {
  readonly charge: Charge;
  readonly out: Out | null;
  /** This one included; 0 if it was refused. */
  readonly calls: number;
}

/** One step of the object: what is out is withheld, what came back is credited, what goes out is charged. */
export function lend(tatMicros: number | undefined, known: Out | null, rate: Rate, asked: Asked, nowMs: number): Lent {
  // 1. A loan whose end is never told ends by itself.
  const out = known !== null && nowMs < known.untilMs ? known : null;
  let tat = withheld(tatMicros, rate, nowMs, out?.calls ?? 0);
  let calls = out?.calls ?? 0;
  // 2. Only of a loan that is known to be out: what it was of another one is long refilled.
  const { ended } = asked;
  if (ended !== null && out !== null && ended.sinceMs === out.sinceMs) {
    tat = (tat ?? 0) - ended.unusedMicros;
    calls = Math.max(0, calls - ended.calls);
  }
  // 3.
  const lent = lentCalls(asked.calls, rate.burst, look(tat, rate, nowMs).remaining);
  const charged = charge(tat, rate, nowMs, lent);
  const still = out === null || calls === 0 ? null : { ...out, calls };
  if (!charged.ok) return { charge: charged, out: still, calls: 0 };
  if (lent === 1) return { charge: charged, out: still, calls: 1 };
  const more = { sinceMs: still?.sinceMs ?? nowMs, calls: calls + lent - 1, untilMs: nowMs + LEND_MS };
  return { charge: charged, out: more, calls: lent };
}

/** How many of the wanted calls are lent of a rate that has `remaining` left. */
function lentCalls(wanted: number, burst: number, remaining: number): number {
  return Math.max(1, Math.min(wanted, Math.floor(burst * LEND_SHARE), remaining - Math.ceil(burst / 2)));
}
