/** The account's two rates: creates (its tier's, kept on disk so that an eviction never refills it) and everything else. */
import type { TierLimits } from "#protocol/edge-call.ts";
import { RETRY_AFTER_SECONDS_MAX, type Refusal } from "#protocol/error.ts";
import { charge, type Charge, goDuration, ratePerMinute, READ_RATE } from "../core/rate-limit.ts";

const CREATE_TAT = "create_tat_micros";

interface Charged {
  /** `retry-after-ms` and `x-ratelimit-*`, for the answer whatever it is. */
  readonly headers: Readonly<Record<string, string>>;
  readonly refusal: Refusal | null;
}

export class Admission {
  readonly #kv: SyncKvStorage;
  #readTat: number | undefined;

  constructor(kv: SyncKvStorage) {
    this.#kv = kv;
  }

  chargeCreate(limits: TierLimits, nowMs: number): Charged {
    const rate = ratePerMinute(limits.creates_per_minute, limits.creates_burst);
    const charged = charge(this.#kv.get<number>(CREATE_TAT), rate, nowMs);
    if (charged.ok) this.#kv.put(CREATE_TAT, charged.tatMicros);
    const headers = {
      "x-ratelimit-limit-requests": String(limits.creates_burst),
      "x-ratelimit-remaining-requests": String(charged.remaining),
      "x-ratelimit-reset-requests": goDuration(charged.resetMs),
    };
    return verdict(charged, headers, `The ${limits.tier} tier allows ${limits.creates_per_minute} creates a minute.`);
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
