/**
 * What this isolate may let pass by itself: per key the calls that the account's object has lent it (`core/lend.ts`), and how
 * the rates stood. A call that finds one is answered without asking the object.
 *
 * Keyed by the `Authorization` header as it came, so that nothing is hashed either: keys stay in memory while they are among
 * the last so many, and go nowhere from here. Nothing is awaited here, so two calls never take the same one.
 */
import type { Caller } from "./caller.ts";
import { counted, type Demand, LEND_MS, wantedCalls } from "./core/lend.ts";
import { createRateOf, type RateReport, readRateOf } from "./core/rate-headers.ts";
import { look } from "./core/rate-limit.ts";

const KEYS_MAX = 1_000;

interface Entry {
  demand: Demand;
  lent: Lent | null;
  /** Somebody asks the object for more until then; others ask for themselves alone. */
  askingUntilMs: number;
}
interface Lent {
  readonly caller: Caller;
  /** As it stood with all that was lent charged. */
  readonly rates: RateReport;
  calls: number;
  readonly untilMs: number;
}

/** What is asked of the object: `unusedMicros` is given back. */
export interface ReadAsked {
  readonly calls: number;
  readonly unusedMicros: number;
}

const entries = new Map<string, Entry>();

/** A call that was lent; null: ask the object. */
export function takeLent(
  authorization: string,
  nowMs: number,
): { readonly caller: Caller; readonly rates: RateReport } | null {
  const entry = entries.get(authorization);
  if (entry === undefined) return null;
  const { lent } = entry;
  if (lent === null || lent.calls === 0 || nowMs >= lent.untilMs) return null;
  entry.demand = counted(entry.demand, nowMs);
  lent.calls -= 1;
  return { caller: lent.caller, rates: ratesAt(lent, nowMs) };
}

/** What a call that none was lent for asks of the object, with what an earlier loan has left. */
export function askFor(authorization: string, nowMs: number): ReadAsked {
  const known = entries.get(authorization);
  const entry = known ?? { demand: counted(null, nowMs), lent: null, askingUntilMs: 0 };
  if (known !== undefined) entry.demand = counted(known.demand, nowMs);
  entries.delete(authorization);
  entries.set(authorization, entry);
  const oldest = entries.keys().next();
  if (entries.size > KEYS_MAX && !oldest.done) entries.delete(oldest.value);
  const unusedMicros = entry.lent === null ? 0 : unusedOf(entry.lent);
  entry.lent = null;
  if (nowMs < entry.askingUntilMs) return { calls: 1, unusedMicros };
  entry.askingUntilMs = nowMs + LEND_MS;
  return { calls: wantedCalls(entry.demand), unusedMicros };
}

/** The object has lent so many calls, of which the one that asked is used; answers how the rates stand for it. */
export function keepLent(
  authorization: string,
  caller: Caller,
  rates: RateReport,
  calls: number,
  nowMs: number,
): RateReport {
  const entry = entries.get(authorization);
  if (entry === undefined || calls === 1) return rates;
  // Whoever asked beside it may have brought some already; those stay charged.
  const lent = { caller, rates, calls: calls - 1 + (entry.lent?.calls ?? 0), untilMs: nowMs + LEND_MS };
  entry.lent = lent;
  entry.askingUntilMs = 0;
  return ratesAt(lent, nowMs);
}

function unusedOf({ calls, rates }: Lent): number {
  return calls * readRateOf(rates.limits).intervalMicros;
}

/** The rates go on by the clock; what is lent and unused is not used. */
function ratesAt(lent: Lent, nowMs: number): RateReport {
  const { limits, create, read } = lent.rates;
  return {
    limits,
    charged: "read",
    create: look(create.tatMicros, createRateOf(limits), nowMs),
    read: look(read.tatMicros - unusedOf(lent), readRateOf(limits), nowMs),
    retryAfterMs: null,
  };
}
