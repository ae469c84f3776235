/**
 * One rate of an account, kept on disk so that neither an eviction nor a crash of the object refills it.
 *
 * What is stored may run ahead of what was used by `ahead` calls: then only one charge in so many is written, and an
 * eviction takes that many calls at most, and gives none.
 */
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

  charge(rate: Rate, nowMs: number, calls = 1): Charge {
    this.#load();
    const charged = charge(this.#tat, rate, nowMs, calls);
    this.#tat = charged.tatMicros;
    if (!charged.ok) return charged;
    if (this.#stored === undefined || this.#tat > this.#stored) {
      this.#stored = this.#tat + Math.floor(rate.burst * this.#aheadShare) * rate.intervalMicros;
      this.#kv.put(this.#name, this.#stored);
    }
    return charged;
  }

  /** Takes a part of a charge back. What is stored stays ahead. */
  giveBack(micros: number): void {
    this.#load();
    if (this.#tat !== undefined) this.#tat -= micros;
  }

  look(rate: Rate, nowMs: number): Standing {
    this.#load();
    return look(this.#tat, rate, nowMs);
  }

  #load(): void {
    if (this.#isLoaded) return;
    this.#stored = this.#kv.get<number>(this.#name);
    this.#tat = this.#stored;
    this.#isLoaded = true;
  }
}
