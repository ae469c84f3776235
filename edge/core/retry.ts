/** When a call to the control plane is tried again, and after which pause. */

export const TRIES_MAX = 24;
/** A control plane that its supervisor restarts is back within this time; no call waits longer. */
export const TRY_FOR_MS = 8_000;
const PAUSE_FIRST_MS = 100;
const PAUSE_MAX_MS = 800;

/** What became of one try. `unreached` cannot be told from "reached, but the answer was lost". */
export type Failure = { readonly kind: "unreached" } | { readonly kind: "answered"; readonly status: number };

/** A 503 says that nothing was done. Without an answer only a call that may run twice is repeated. */
export function mayRetry(failure: Failure, repeatable: boolean): boolean {
  return failure.kind === "answered" ? failure.status === 503 : repeatable;
}

/** No pause before another replica is asked for the first time; then doubling. */
export function pauseMs(triesMade: number, replicas: number): number {
  if (triesMade < replicas) return 0;
  return Math.min(PAUSE_MAX_MS, PAUSE_FIRST_MS * 2 ** Math.min(10, triesMade - replicas));
}
