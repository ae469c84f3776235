/**
 * When a call to the control plane is tried again, and after which pause.
 *
 * A try that reached nobody costs nobody, and another replica is asked at once. A replica that took the call and could not
 * answer it is struggling: such retries come out of a budget, a tenth of the calls. Of a replica that is away altogether the
 * breaker knows, and lets calls wait for it without trying.
 */

/** Tries and waits of one call together. */
export const TURNS_MAX = 48;
/** No call takes longer. */
export const TRY_FOR_MS = 8_000;
const PAUSE_FIRST_MS = 100;
const PAUSE_MAX_MS = 800;
/** While a replica is doubted: until the next look at what its probes found. */
const LOOK_MS = 100;
const LOOK_SPREAD_MS = 200;

const BUDGET_SHARE = 0.1;
const BUDGET_MAX = 50;

/**
 * What became of one try. `unreached` cannot be told from "reached, but the answer was lost"; `late` was given up waiting for;
 * `shed` was refused because there is too much to do.
 */
export type Failure =
  | { readonly kind: "unreached" | "late" | "shed" }
  | { readonly kind: "answered"; readonly status: number };

/** A 503 says that nothing was done. Without an answer only a call that may run twice is repeated. What was shed is not sent again. */
export function mayRetry(failure: Failure, repeatable: boolean): boolean {
  if (failure.kind === "answered") return failure.status === 503;
  return failure.kind !== "shed" && repeatable;
}

/** Retries are left: whole ones may be taken. */
export type RetryBudget = number;
export const FULL_BUDGET: RetryBudget = BUDGET_MAX;

export function earn(budget: RetryBudget): RetryBudget {
  return Math.min(BUDGET_MAX, budget + BUDGET_SHARE);
}

/** Null: nothing is left. */
export function spend(budget: RetryBudget, failure: Failure): RetryBudget | null {
  if (failure.kind === "unreached") return budget;
  return budget >= 1 ? budget - 1 : null;
}

/** No pause before another replica is asked for the first time; then doubling. */
export function pauseMs(triesMade: number, replicas: number): number {
  if (triesMade < replicas) return 0;
  return Math.min(PAUSE_MAX_MS, PAUSE_FIRST_MS * 2 ** Math.min(10, triesMade - replicas));
}

/** Spread, so that those who wait together do not come back together. */
export function lookMs(chance: number): number {
  return LOOK_MS + Math.floor(chance * LOOK_SPREAD_MS);
}
