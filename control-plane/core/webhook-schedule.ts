/** What the outcome of one webhook try means: done, again later, or never again. Standard Webhooks 1.0's schedule. */

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** Waits before try 2, 3, …; about 75 hours in all. */
export const RETRY_AFTER_MS = [
  5 * SECOND,
  5 * MINUTE,
  30 * MINUTE,
  2 * HOUR,
  5 * HOUR,
  10 * HOUR,
  14 * HOUR,
  20 * HOUR,
  24 * HOUR,
] as const;
/** From the first try to the last. */
export const SCHEDULE_MS = RETRY_AFTER_MS.reduce((sum, wait) => sum + wait, 0);
/** Up to this share is added at random, so that a thousand endpoints do not come back in the same second. */
const JITTER = 0.1;

export type TryOutcome =
  | { readonly kind: "answered"; readonly status: number; readonly retryAfterMs: number | null }
  | { readonly kind: "unreachable"; readonly message: string }
  /** The address must not be called (private, malformed); no retry will change that. */
  | { readonly kind: "forbidden"; readonly message: string };

export type NextStep =
  | { readonly kind: "delivered" }
  | { readonly kind: "retry"; readonly delayMs: number }
  | { readonly kind: "give_up" }
  /** The receiver said 410: it wants no more of anything. */
  | { readonly kind: "disable_endpoint" };

/** `triesDone` counts this try; `random` is in [0, 1). */
export function nextStep(outcome: TryOutcome, triesDone: number, random: number): NextStep {
  if (outcome.kind === "forbidden") return { kind: "give_up" };
  if (outcome.kind === "answered") {
    if (outcome.status >= 200 && outcome.status < 300) return { kind: "delivered" };
    if (outcome.status === 410) return { kind: "disable_endpoint" };
  }
  const base = RETRY_AFTER_MS[triesDone - 1];
  if (base === undefined) return { kind: "give_up" };
  const asked = outcome.kind === "answered" ? (outcome.retryAfterMs ?? 0) : 0;
  return { kind: "retry", delayMs: Math.round(Math.max(base, Math.min(asked, 24 * HOUR)) * (1 + JITTER * random)) };
}
