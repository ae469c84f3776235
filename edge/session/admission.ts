/**
 * The account's rates, all its tier's: creates, tries of creates, and other calls. Each is charged before the work it is for.
 *
 * Each write to disk is one that the whole of a self-hosted edge waits for, so what is kept runs ahead of what was charged, by a
 * tenth of the burst: whoever wakes after an eviction has at most that much less, and never more.
 */
import type { TierLimits } from "#protocol/edge-call.ts";
import { lentCalls } from "../core/lend.ts";
import type { Charge } from "../core/rate-limit.ts";
import { ratePerMinute } from "../core/rate-limit.ts";
import { createRateOf, type RateReport, readRateOf } from "../core/rate-headers.ts";
import type { ReadAsked } from "../lent-calls.ts";
import { Bucket } from "./bucket.ts";

const AHEAD_SHARE = 0.1;
/** Of socket frames before a call has said what the tier is. */
const FRAME_RATE = ratePerMinute(6_000, 200);

export interface Lent {
  readonly rates: RateReport;
  /** The call that asked included; 0 if it was refused. */
  readonly calls: number;
}

export class Admission {
  readonly #creates: Bucket;
  readonly #tries: Bucket;
  readonly #reads: Bucket;
  #limits: TierLimits | null = null;

  constructor(kv: SyncKvStorage) {
    this.#creates = new Bucket(kv, "create_tat_micros", AHEAD_SHARE);
    this.#tries = new Bucket(kv, "try_tat_micros", AHEAD_SHARE);
    this.#reads = new Bucket(kv, "read_tat_micros", AHEAD_SHARE);
  }

  /** A call of any kind but a create, and as many more as may be lent to who asked. */
  chargeReads(limits: TierLimits, asked: ReadAsked, nowMs: number): Lent {
    this.#limits = limits;
    const rate = readRateOf(limits);
    this.#reads.giveBack(asked.unusedMicros);
    const lent = lentCalls(asked.calls, rate.burst, this.#reads.look(rate, nowMs).remaining);
    const rates = this.#report(limits, "read", this.#reads.charge(rate, nowMs, lent), nowMs);
    return { rates, calls: rates.retryAfterMs === null ? lent : 0 };
  }

  /** Of a create that has arrived: malformed ones and replays are not free either. */
  chargeTry(limits: TierLimits, nowMs: number): RateReport {
    return this.#report(limits, "try", this.#tries.charge(readRateOf(limits), nowMs), nowMs);
  }

  chargeCreate(limits: TierLimits, nowMs: number): RateReport {
    return this.#report(limits, "create", this.#creates.charge(createRateOf(limits), nowMs), nowMs);
  }

  /** For a create that is none: without a charge. */
  look(limits: TierLimits, nowMs: number): RateReport {
    return this.#report(limits, "try", null, nowMs);
  }

  /** False if there are too many frames: a socket's frames count as calls. */
  chargeFrame(nowMs: number): boolean {
    return this.#reads.charge(this.#limits === null ? FRAME_RATE : readRateOf(this.#limits), nowMs).ok;
  }

  #report(limits: TierLimits, charged: RateReport["charged"], charge: Charge | null, nowMs: number): RateReport {
    const create = this.#creates.look(createRateOf(limits), nowMs);
    const read = this.#reads.look(readRateOf(limits), nowMs);
    return { limits, charged, create, read, retryAfterMs: charge === null || charge.ok ? null : charge.waitMs };
  }
}
