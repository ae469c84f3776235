/**
 * What failed tries do to an endpoint. Closed: deliveries go out. Open: after `FAILURES_MAX` failures in a row it rests, each
 * time longer. Half-open: after the rest one try at a time, until one succeeds (closed) or fails (open again).
 *
 * A rest takes no try from any delivery: they keep their schedule and wait. An endpoint that only failed for as long as the
 * schedule of one delivery lasts is disabled, as is one that answers 410; the account is told why.
 */
import { SCHEDULE_MS } from "./webhook-schedule.ts";
import type { TryOutcome } from "./webhook-schedule.ts";

export const FAILURES_MAX = 5;
const SECOND = 1_000;
export const FIRST_REST_MS = 10 * SECOND;
export const REST_MS_MAX = 600 * SECOND;

/** An endpoint's row, as far as it counts here. */
export interface Failing {
  readonly failures: number;
  readonly failingSinceMs: number | null;
}

export type AfterFailure =
  | { readonly kind: "goes_on"; readonly failures: number; readonly failingSinceMs: number }
  | { readonly kind: "rests"; readonly failures: number; readonly failingSinceMs: number; readonly restMs: number }
  | { readonly kind: "disabled"; readonly reason: "receiver_gone" | "kept_failing" };

export function afterFailure(before: Failing, outcome: TryOutcome, nowMs: number): AfterFailure {
  if (outcome.kind === "answered" && outcome.status === 410) return { kind: "disabled", reason: "receiver_gone" };
  const failures = before.failures + 1;
  const failingSinceMs = before.failingSinceMs ?? nowMs;
  if (nowMs - failingSinceMs >= SCHEDULE_MS) return { kind: "disabled", reason: "kept_failing" };
  const restMs = Math.max(restAfter(failures), askedFor(outcome));
  if (restMs === 0) return { kind: "goes_on", failures, failingSinceMs };
  return { kind: "rests", failures, failingSinceMs, restMs };
}

function restAfter(failures: number): number {
  return failures < FAILURES_MAX ? 0 : Math.min(FIRST_REST_MS * 2 ** (failures - FAILURES_MAX), REST_MS_MAX);
}

/** A receiver that is overloaded says for how long all of it wants to be left alone. */
function askedFor(outcome: TryOutcome): number {
  if (outcome.kind !== "answered" || (outcome.status !== 429 && outcome.status !== 503)) return 0;
  return Math.min(Math.max(outcome.retryAfterMs ?? 0, 0), REST_MS_MAX);
}
