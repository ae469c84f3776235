/**
 * What the edge believes of one replica of the control plane, from what became of its calls.
 *
 *   closed ──five failures in a row, or half of ten──▶ doubtful ──15 s of nothing else─▶ open
 *     ▲ ▲                                                 │                               │ a probe a second
 *     │ └───────────────── a sound answer ────────────────┘                               ▼ is answered
 *     └───────────────────────────────── 2.5 s without a failure ──────────────────── ramping
 *
 * Two states of distrust, because a restart is not an outage. *Doubtful*: a few calls probe, the others wait for what comes of
 * it, so a replica that is back within seconds has refused nobody. *Open*: calls are refused at once. After that calls come back
 * in doubling portions, not all together.
 *
 * Refusals are sound answers, 429 and load shedding among them. A late answer counts once an account and window: one account
 * that only ever waits for its own locks opens nothing.
 */

/** `late`: after the caller's patience, or nearly. `failed`: no answer, or one that says that nothing works there. */
export type Outcome = { readonly kind: "sound" } | { readonly kind: "failed" } | Late;
interface Late {
  readonly kind: "late";
  readonly account: string;
}

export type Breaker = Closed | Distrusted | Ramping;

interface Closed {
  readonly state: "closed";
  readonly failedInRow: number;
  readonly fromMs: number;
  readonly calls: number;
  readonly failed: number;
  /** Accounts that waited too long within the window. */
  readonly late: readonly string[];
}

interface Distrusted {
  readonly state: "doubtful" | "open";
  readonly sinceMs: number;
  readonly probeAtMs: number;
}

interface Ramping {
  readonly state: "ramping";
  readonly sinceMs: number;
  readonly slice: number;
  /** Calls let through in this slice. */
  readonly used: number;
}

/** `probe` calls too, and its outcome decides. */
export type Verdict = "call" | "probe" | "wait" | "refuse";

const FAILED_IN_ROW = 5;
const WINDOW_MS = 5_000;
const FAILED_MIN = 10;
const FAILED_SHARE = 0.5;
/** Restarts take a few seconds, and so long on a machine with far too much to do. */
export const DOUBT_MS = 15_000;
const DOUBT_PROBE_MS = 250;
export const OPEN_PROBE_MS = 1_000;
const RAMP_SLICE_MS = 250;
const RAMP_SLICES = 10;
/** Calls in the first slice; each next slice lets twice as many through. */
const RAMP_CALLS_FIRST = 8;

export const CLOSED: Closed = { state: "closed", failedInRow: 0, fromMs: 0, calls: 0, failed: 0, late: [] };

/** May a call go there now? The breaker that is answered knows that it went. */
export function ask(breaker: Breaker, nowMs: number): { readonly verdict: Verdict; readonly breaker: Breaker } {
  switch (breaker.state) {
    case "closed":
      return { verdict: "call", breaker };
    case "doubtful":
    case "open": {
      const state = Math.abs(nowMs - breaker.sinceMs) < DOUBT_MS ? breaker.state : "open";
      const everyMs = state === "open" ? OPEN_PROBE_MS : DOUBT_PROBE_MS;
      // A clock that jumped back does not postpone the next probe.
      const due = nowMs >= breaker.probeAtMs || breaker.probeAtMs - nowMs > OPEN_PROBE_MS;
      if (due) return { verdict: "probe", breaker: { ...breaker, state, probeAtMs: nowMs + everyMs } };
      return { verdict: state === "open" ? "refuse" : "wait", breaker: { ...breaker, state } };
    }
    case "ramping":
      return askRamp(breaker, nowMs);
    default:
      return breaker satisfies never;
  }
}

/** What became of a call. */
export function heard(breaker: Breaker, outcome: Outcome, nowMs: number): Breaker {
  switch (breaker.state) {
    case "closed":
      return heardClosed(breaker, outcome, nowMs);
    case "doubtful":
      return outcome.kind === "sound" ? { ...CLOSED, fromMs: nowMs } : breaker;
    case "open":
      return outcome.kind === "sound" ? { state: "ramping", sinceMs: nowMs, slice: 0, used: 0 } : breaker;
    case "ramping":
      // It was open a moment ago: there is no doubt to give it the benefit of.
      if (outcome.kind === "failed") {
        return { state: "open", sinceMs: nowMs - DOUBT_MS, probeAtMs: nowMs + OPEN_PROBE_MS };
      }
      return breaker;
    default:
      return breaker satisfies never;
  }
}

function askRamp(breaker: Ramping, nowMs: number): { readonly verdict: Verdict; readonly breaker: Breaker } {
  const slice = Math.floor((nowMs - breaker.sinceMs) / RAMP_SLICE_MS);
  if (slice < 0 || slice >= RAMP_SLICES) return { verdict: "call", breaker: { ...CLOSED, fromMs: nowMs } };
  const used = slice === breaker.slice ? breaker.used : 0;
  if (used >= RAMP_CALLS_FIRST * 2 ** slice) return { verdict: "refuse", breaker };
  return { verdict: "call", breaker: { ...breaker, slice, used: used + 1 } };
}

function heardClosed(breaker: Closed, outcome: Outcome, nowMs: number): Breaker {
  const fresh = Math.abs(nowMs - breaker.fromMs) < WINDOW_MS;
  const seen: Closed = fresh ? breaker : { ...CLOSED, failedInRow: breaker.failedInRow, fromMs: nowMs };
  const { late, calls: before } = seen;
  const calls = before + 1;
  if (outcome.kind === "sound") return { ...seen, failedInRow: 0, calls };
  if (outcome.kind === "late" && late.includes(outcome.account)) return { ...seen, calls };
  const failed = seen.failed + 1;
  const failedInRow = seen.failedInRow + 1;
  if (failedInRow >= FAILED_IN_ROW || (failed >= FAILED_MIN && failed >= FAILED_SHARE * calls)) {
    return { state: "doubtful", sinceMs: nowMs, probeAtMs: nowMs };
  }
  const lateNow = outcome.kind === "late" ? [...late, outcome.account] : late;
  return { state: "closed", failedInRow, fromMs: seen.fromMs, calls, failed, late: lateNow };
}
