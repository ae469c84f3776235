/**
 * What an answer says of the account's rates, twice: OpenAI's `x-ratelimit-*-requests` for the rate that was charged, and
 * the IETF's `RateLimit-Policy` and `RateLimit` (structured fields) for both. The numbers are those of `rate-limit.ts`:
 * `q` calls at once, all of them back within `w` seconds.
 */
import type { TierLimits } from "#protocol/edge-call.ts";
import { RETRY_AFTER_SECONDS_MAX, type Refusal } from "#protocol/error.ts";
import { goDuration, type Rate, ratePerMinute, type Standing, windowSeconds } from "./rate-limit.ts";

export interface RateReport {
  readonly limits: TierLimits;
  readonly create: Standing;
  readonly read: Standing;
  /** A `try` is the arrival of a create, whatever comes of it; as many are allowed as reads, in a count of their own. */
  readonly charged: "create" | "read" | "try";
  /** Of the charged rate; null unless it was refused. */
  readonly retryAfterMs: number | null;
}

/** The rate that a tier allows for creates, and for calls of any kind. */
export function createRateOf(limits: TierLimits): Rate {
  return ratePerMinute(limits.creates_per_minute, limits.creates_burst);
}

export function readRateOf(limits: TierLimits): Rate {
  return ratePerMinute(limits.reads_per_minute, limits.reads_burst);
}

export function rateHeaders(report: RateReport): Readonly<Record<string, string>> {
  const { limits, create, read, charged, retryAfterMs } = report;
  const [rate, left] = charged === "read" ? [readRateOf(limits), read] : [createRateOf(limits), create];
  const policies = [
    `"create";q=${limits.creates_burst};w=${windowSeconds(createRateOf(limits))}`,
    `"read";q=${limits.reads_burst};w=${windowSeconds(readRateOf(limits))}`,
    `"active";q=${limits.max_running};qu="concurrent-requests"`,
  ];
  const refusedFor = (name: "create" | "read") => (name === charged ? retryAfterMs : null);
  const standings = [standingOf("create", create, refusedFor("create")), standingOf("read", read, refusedFor("read"))];
  return {
    "x-ratelimit-limit-requests": String(rate.burst),
    "x-ratelimit-remaining-requests": String(left.remaining),
    "x-ratelimit-reset-requests": goDuration(left.resetMs),
    "ratelimit-policy": policies.join(", "),
    ratelimit: standings.join(", "),
    ...(retryAfterMs === null
      ? {}
      : { "retry-after-ms": String(Math.min(retryAfterMs, RETRY_AFTER_SECONDS_MAX * 1_000)) }),
  };
}

/** A refusal by the charged rate; null if it was not refused. */
export function rateRefusal({ limits, charged, retryAfterMs }: RateReport): Refusal | null {
  if (retryAfterMs === null) return null;
  const rules = {
    create: `${limits.creates_per_minute} creates`,
    read: `${limits.reads_per_minute} calls`,
    try: `${limits.reads_per_minute} tries of creates`,
  } as const;
  const seconds = retryAfterSeconds(retryAfterMs);
  const message = `The ${limits.tier} tier allows ${rules[charged]} a minute. Try again in ${seconds} s.`;
  return { code: "rate_limit_exceeded", message, retryAfterSeconds: seconds };
}

/** `t`: until nothing of it is used; where none is left, until one more is there, as `Retry-After` says. */
function standingOf(name: string, { remaining, resetMs }: Standing, retryAfterMs: number | null): string {
  const seconds = retryAfterMs === null ? Math.ceil(resetMs / 1_000) : retryAfterSeconds(retryAfterMs);
  return `"${name}";r=${remaining};t=${seconds}`;
}

function retryAfterSeconds(retryAfterMs: number): number {
  return Math.min(RETRY_AFTER_SECONDS_MAX, Math.ceil(retryAfterMs / 1_000));
}
