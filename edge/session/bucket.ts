/**
 * One rate of an account, kept on disk so that neither an eviction nor a crash of the object refills it.
 *
 * What is stored may run ahead of what was used, by a share of the burst: then only one charge in so many is written, and an
 * eviction takes that share at most, and gives nothing. Idle objects are evicted later than their buckets are full again.
 */
import { type Asked, lend, type Lent, type Out } from "../core/lend.ts";
import { charge, type Charge, look, type Rate, type Standing } from "../core/rate-limit.ts";

export class Bucket {
  readonly #kv: SyncKvStorage;
  readonly #name: string;
  /** Of the burst. */
  readonly #aheadShare: number;
  #tat: number | undefined;
  #stored: number | undefined;
  #isLoaded = false;

  constructor(kv: SyncKvStorage, name: string, aheadShare: number) {
    this.#kv = kv;
    this.#name = name;
    this.#aheadShare = aheadShare;
  }

  charge(rate: Rate, nowMs: number): Charge {
    this.#load();
    return this.#keep(charge(this.#tat, rate, nowMs), rate);
  }

  /** Charges a call, and as many more as it lends; the loans that are out are the caller's to keep. */
  lend(out: Out | null, rate: Rate, asked: Asked, nowMs: number): Lent {
    this.#load();
    const lent = lend(this.#tat, out, rate, asked, nowMs);
    this.#keep(lent.charge, rate);
    return lent;
  }

  look(rate: Rate, nowMs: number): Standing {
    this.#load();
    return look(this.#tat, rate, nowMs);
  }

  #keep(charged: Charge, rate: Rate): Charge {
    this.#tat = charged.tatMicros;
    if (charged.ok && (this.#stored === undefined || this.#tat > this.#stored)) {
      this.#stored = this.#tat + Math.floor(rate.burst * this.#aheadShare) * rate.intervalMicros;
      this.#kv.put(this.#name, this.#stored);
    }
    return charged;
  }

  #load(): void {
    if (this.#isLoaded) return;
    this.#stored = this.#kv.get<number>(this.#name);
    this.#tat = this.#stored;
    this.#isLoaded = true;
  }
}
