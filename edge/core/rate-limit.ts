/**
 * GCRA: a rate limit whose whole state is one number, the *theoretical arrival time* (TAT) in microseconds.
 *
 * A call is allowed while the TAT runs at most `burst - 1` intervals ahead of now; the wait it names when it refuses is
 * exact. Microseconds, so that an interval such as 60 s ÷ 7 loses nothing a user could notice.
 */

const MICROS_PER_MS = 1_000;
const MICROS_PER_MINUTE = 60_000_000;

export interface Rate {
  readonly intervalMicros: number;
  readonly burst: number;
}

interface Standing {
  /** What to store; undefined was never charged. */
  readonly tatMicros: number;
  readonly remaining: number;
  /** Until the full burst is there again. */
  readonly resetMs: number;
}

export type Charge =
  | (Standing & { readonly ok: true })
  | (Standing & { readonly ok: false; readonly retryAfterMs: number });

/** The interval is rounded up, so the rate is never above what was asked for. */
export function ratePerMinute(perMinute: number, burst: number): Rate {
  return { intervalMicros: Math.ceil(MICROS_PER_MINUTE / perMinute), burst };
}

/** Reads, deletes, cancels, sessions and their frames of one account: far above honest polling. */
export const READ_RATE: Rate = ratePerMinute(100 * 60, 200);

/** Charges one call, or says how long to wait. A refused call costs nothing. */
export function charge(stored: number | undefined, rate: Rate, nowMs: number): Charge {
  const now = nowMs * MICROS_PER_MS;
  const full = rate.intervalMicros * rate.burst;
  // A TAT beyond the burst comes from a larger former tier or a clock that jumped back: it may not lock the account out.
  const tat = Math.min(Math.max(stored ?? now, now), now + full);
  const next = tat + rate.intervalMicros;
  if (next - now > full) {
    return {
      ok: false,
      ...standing(tat, full, rate, now),
      retryAfterMs: Math.ceil((next - now - full) / MICROS_PER_MS),
    };
  }
  return { ok: true, ...standing(next, full, rate, now) };
}

function standing(tatMicros: number, full: number, rate: Rate, now: number): Standing {
  return {
    tatMicros,
    remaining: Math.floor((full - (tatMicros - now)) / rate.intervalMicros),
    resetMs: Math.ceil((tatMicros - now) / MICROS_PER_MS),
  };
}

/** A Go-style duration, the form of OpenAI's `x-ratelimit-reset-*` headers: `120ms`, `1.5s`, `6m0s`. */
export function goDuration(ms: number): string {
  if (ms < 1_000) return `${ms}ms`;
  const minutes = Math.floor(ms / 60_000);
  const seconds = (ms % 60_000) / 1_000;
  return minutes === 0 ? `${seconds}s` : `${minutes}m${seconds}s`;
}
