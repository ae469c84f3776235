/**
 * The account's two rates: creates (its tier's, kept on disk so that an eviction never refills it) and everything else.
 *
 * Each write to disk is one that the whole of a self-hosted edge waits for, so what is kept runs ahead of what was charged, by a
 * tenth of the burst: whoever wakes after an eviction has at most that much less, and never more.
 */
import type { TierLimits } from "#protocol/edge-call.ts";
import { RETRY_AFTER_SECONDS_MAX, type Refusal } from "#protocol/error.ts";
import { charge, type Charge, goDuration, type Rate, ratePerMinute } from "../core/rate-limit.ts";

/** Reads, deletes, cancels and socket frames of one account: far above honest polling. */
const READ_RATE: Rate = ratePerMinute(100 * 60, 200);
const CREATE_TAT = "create_tat_micros";
const AHEAD_SHARE = 0.1;

interface Charged {
  /** `retry-after-ms` and `x-ratelimit-*`, for the answer whatever it is. */
  readonly headers: Readonly<Record<string, string>>;
  readonly refusal: Refusal | null;
}

export class Admission {
  readonly #kv: SyncKvStorage;
  #readTat: number | undefined;
  /** In memory what was charged, on disk what may be charged before the next write. Undefined until it was read. */
  #create: { readonly tat: number; readonly kept: number } | undefined;

  constructor(kv: SyncKvStorage) {
    this.#kv = kv;
  }

  chargeCreate(limits: TierLimits, nowMs: number): Charged {
    const rate = ratePerMinute(limits.creates_per_minute, limits.creates_burst);
    const kept = this.#create?.kept ?? this.#kv.get<number>(CREATE_TAT);
    const charged = charge(this.#create?.tat ?? kept, rate, nowMs);
    if (charged.ok) this.#keep(charged.tatMicros, kept, rate);
    const headers = {
      "x-ratelimit-limit-requests": String(limits.creates_burst),
      "x-ratelimit-remaining-requests": String(charged.remaining),
      "x-ratelimit-reset-requests": goDuration(charged.resetMs),
    };
    return verdict(charged, headers, `The ${limits.tier} tier allows ${limits.creates_per_minute} creates a minute.`);
  }

  #keep(tat: number, kept: number | undefined, rate: Rate): void {
    if (kept !== undefined && tat <= kept) {
      this.#create = { tat, kept };
      return;
    }
    const ahead = tat + Math.floor(rate.burst * AHEAD_SHARE) * rate.intervalMicros;
    this.#kv.put(CREATE_TAT, ahead);
    this.#create = { tat, kept: ahead };
  }

  /** In memory: an account busy enough to be limited is never evicted. */
  chargeRead(nowMs: number): Charged {
    const charged = charge(this.#readTat, READ_RATE, nowMs);
    this.#readTat = charged.tatMicros;
    return verdict(charged, {}, "Too many calls a second.");
  }
}

function verdict(charged: Charge, headers: Record<string, string>, rule: string): Charged {
  if (charged.ok) return { headers, refusal: null };
  const seconds = Math.min(RETRY_AFTER_SECONDS_MAX, Math.ceil(charged.retryAfterMs / 1_000));
  return {
    headers: { ...headers, "retry-after-ms": String(Math.min(charged.retryAfterMs, seconds * 1_000)) },
    refusal: { code: "rate_limit_exceeded", message: `${rule} Try again in ${seconds} s.`, retryAfterSeconds: seconds },
  };
}
