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

export interface Standing {
  /** What to store; undefined was never charged. */
  readonly tatMicros: number;
  readonly remaining: number;
  /** Until the full burst is there again. */
  readonly resetMs: number;
  /** Until one more is allowed; 0 while one is. */
  readonly waitMs: number;
}

/** Refused: `waitMs` is the exact wait. */
export type Charge = Standing & { readonly ok: boolean };

/** The interval is rounded up, so the rate is never above what was asked for. */
export function ratePerMinute(perMinute: number, burst: number): Rate {
  return { intervalMicros: Math.ceil(MICROS_PER_MINUTE / perMinute), burst };
}

/** Charges one call, or several together, or says how long one must wait. A refused call costs nothing. */
export function charge(stored: number | undefined, rate: Rate, nowMs: number, calls = 1): Charge {
  const now = nowMs * MICROS_PER_MS;
  const full = fullMicros(rate);
  const tat = tatWithin(stored, full, now);
  const next = tat + calls * rate.intervalMicros;
  const ok = next - now <= full;
  return { ok, ...standing(ok ? next : tat, full, rate, now) };
}

/** How a rate stands, without a charge. */
export function look(stored: number | undefined, rate: Rate, nowMs: number): Standing {
  const [now, full] = [nowMs * MICROS_PER_MS, fullMicros(rate)];
  return standing(tatWithin(stored, full, now), full, rate, now);
}

/**
 * The rate as so many calls in so many seconds: the burst, and the time in which all of it comes back. Rounded up, so
 * whoever keeps to it is never refused.
 */
export function windowSeconds(rate: Rate): number {
  return Math.ceil(fullMicros(rate) / (MICROS_PER_MS * 1_000));
}

function fullMicros({ intervalMicros, burst }: Rate): number {
  return intervalMicros * burst;
}

/** A TAT beyond the burst comes from a larger former tier or a clock that jumped back: it may not lock the account out. */
function tatWithin(stored: number | undefined, full: number, now: number): number {
  return Math.min(Math.max(stored ?? now, now), now + full);
}

function standing(tatMicros: number, full: number, rate: Rate, now: number): Standing {
  return {
    tatMicros,
    remaining: Math.floor((full - (tatMicros - now)) / rate.intervalMicros),
    resetMs: Math.ceil((tatMicros - now) / MICROS_PER_MS),
    waitMs: Math.max(0, Math.ceil((tatMicros + rate.intervalMicros - now - full) / MICROS_PER_MS)),
  };
}

/** A Go-style duration, the form of OpenAI's `x-ratelimit-reset-*` headers: `120ms`, `1.5s`, `6m0s`. */
export function goDuration(ms: number): string {
  if (ms < 1_000) return `${ms}ms`;
  const minutes = Math.floor(ms / 60_000);
  const seconds = (ms % 60_000) / 1_000;
  return minutes === 0 ? `${seconds}s` : `${minutes}m${seconds}s`;
}
