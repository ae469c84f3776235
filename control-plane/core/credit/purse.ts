/**
 * What an account has at one second: free lots, lots pinned by holds, running jobs, debt.
 *
 * Time only moves forward here. A second passes in this order: what ends goes, grants start, calls count, then the running
 * jobs burn it. `apply` answers whether the credits covered the call; if not, nothing but time has changed. A copy is cheap.
 */
import { invariant } from "#protocol/invariant.ts";
import type { Books, Column } from "./books.ts";
import { countWhile } from "./call.ts";
import type { Call } from "./call.ts";
import { FreeLots } from "./free-lots.ts";
import { deadFrom, least, MAKE_GOOD_PREFIX, sumOf } from "./grant.ts";
import type { Grant, Lot } from "./grant.ts";
import { Pins } from "./pins.ts";
import type { CreditPolicy } from "./policy.ts";

export class Purse {
  readonly #policy: CreditPolicy;
  readonly #books: Books | null;
  #now = Number.MIN_SAFE_INTEGER;
  #free = new FreeLots();
  /** Started grants that are to end; the next is last. */
  #ending: Grant[] = [];
  #pins = new Pins();
  /** Rate by job, in order of start. */
  #running = new Map<string, bigint>();
  #voided = new Set<Grant>();
  #ratePerSecond = 0n;
  #debt = 0n;
  #isPoisoned = false;
  #dryAt: number | null = null;

  constructor(policy: CreditPolicy, books: Books | null = null) {
    this.#policy = policy;
    this.#books = books;
  }

  /** A copy keeps no books. */
  copy(): Purse {
    const copy = new Purse(this.#policy);
    copy.#now = this.#now;
    copy.#free = this.#free.copy();
    copy.#ending = this.#ending.slice();
    copy.#pins = this.#pins.copy();
    copy.#running = new Map(this.#running);
    copy.#voided = new Set(this.#voided);
    copy.#ratePerSecond = this.#ratePerSecond;
    copy.#debt = this.#debt;
    copy.#isPoisoned = this.#isPoisoned;
    return copy;
  }

  get now(): number {
    return this.#now;
  }

  /** What may be spent; null if more was spent than there was. */
  get spendable(): bigint | null {
    return this.#isPoisoned || this.#debt > 0n ? null : this.#free.total;
  }

  get debt(): bigint {
    return this.#debt;
  }

  get holds(): Pins["holds"] {
    return this.#pins.holds;
  }

  /** The first second, since `watch`, that the running jobs could not pay in full. */
  get dryAt(): number | null {
    return this.#dryAt;
  }

  watch(): void {
    this.#dryAt = null;
  }

  /** How much a copy has to copy. */
  get size(): number {
    return this.#free.size + this.#ending.length + this.#pins.size + this.#running.size;
  }

  /** To the second `to`, before its grants and calls. */
  advance(to: number): void {
    while (this.#now < to) {
      const until = Math.min(to, this.#ending.at(-1)?.deadFrom ?? to);
      if (this.#ratePerSecond > 0n) this.#burn(until - this.#now);
      this.#now = until;
      while ((this.#ending.at(-1)?.deadFrom ?? Infinity) <= until) {
        const grant = this.#ending.pop();
        if (grant !== undefined) this.#end(grant, "expired");
      }
    }
  }

  apply(call: Call): boolean {
    invariant(call.at >= this.#now, "a purse goes forward in time");
    this.advance(call.at);
    switch (call.t) {
      case "grant":
        this.#start(call.grant);
        return true;
      case "void":
        this.#voided.add(call.grant);
        this.#end(call.grant, "voided");
        return true;
      case "use":
        return this.#use(call.amount);
      case "hold":
        return this.#hold(call.job, call.amount);
      case "capture":
        this.#capture(call.job, call.amount);
        return true;
      case "release":
        this.#release(call.job, call.fault);
        return true;
      case "start":
        this.#running.set(call.job, call.ratePerSecond);
        this.#ratePerSecond += call.ratePerSecond;
        return true;
      case "stop":
        this.#ratePerSecond -= this.#running.get(call.job) ?? 0n;
        this.#running.delete(call.job);
        return true;
      default:
        return call satisfies never;
    }
  }

  #start(grant: Grant): void {
    this.#books?.open(grant);
    if (grant.deadFrom <= this.#now) {
      this.#books?.move(grant, grant.amount, "available", "expired");
      return;
    }
    if (grant.deadFrom !== Infinity) {
      const place = countWhile(this.#ending, (other) => other.deadFrom > grant.deadFrom);
      this.#ending.splice(place, 0, grant);
    }
    this.#add(grant, grant.amount);
  }

  #end(grant: Grant, into: "expired" | "voided"): void {
    const left = this.#free.remove(grant);
    this.#books?.move(grant, left, "available", into);
  }

  /** Credits become free, and repay a debt before anything else. */
  #add(grant: Grant, amount: bigint): void {
    const repaid = least(this.#debt, amount);
    this.#debt -= repaid;
    this.#books?.move(grant, repaid, "available", "consumed");
    this.#free.add(grant, amount - repaid);
  }

  #take(amount: bigint, into: Column): readonly Lot[] {
    const lots = this.#free.take(amount);
    for (const lot of lots) this.#books?.move(lot.grant, lot.amount, "available", into);
    return lots;
  }

  #use(amount: bigint): boolean {
    if (this.#isPoisoned) return true;
    if (amount <= this.#free.total) this.#take(amount, "consumed");
    else if (this.#policy.overdraw === "reject") return false;
    else this.#overdraw(amount);
    return true;
  }

  /** `amount` is more than there is. */
  #overdraw(amount: bigint): void {
    if (this.#policy.overdraw === "poison") {
      this.#isPoisoned = true;
      return;
    }
    if (this.#policy.overdraw === "debt") this.#debt += amount - this.#free.total;
    this.#take(this.#free.total, "consumed");
  }

  #hold(job: string, amount: bigint): boolean {
    if (this.#isPoisoned || amount > this.#free.total) return false;
    this.#pins.pin(job, this.#take(amount, "held"));
    return true;
  }

  #capture(job: string, amount: bigint): void {
    for (const lot of this.#pins.take(job, amount)) this.#books?.move(lot.grant, lot.amount, "held", "consumed");
  }

  #release(job: string, fault: "user" | "platform"): void {
    const forfeited: Lot[] = [];
    for (const lot of this.#pins.close(job)) {
      if (this.#voided.has(lot.grant)) this.#books?.move(lot.grant, lot.amount, "held", "voided");
      else if (lot.grant.deadFrom <= this.#now) {
        this.#books?.move(lot.grant, lot.amount, "held", "expired");
        forfeited.push(lot);
      } else {
        this.#books?.move(lot.grant, lot.amount, "held", "available");
        this.#add(lot.grant, lot.amount);
      }
    }
    const [first] = forfeited;
    if (first !== undefined && fault === "platform") this.#makeGood(job, first.grant, sumOf(forfeited));
  }

  /** One new grant for all that a release lost, of the kind of the first grant that lost something. */
  #makeGood(job: string, { priority, category }: Grant, amount: bigint): void {
    const at = this.#now;
    const end = deadFrom(at + this.#policy.makeGoodSeconds, this.#policy.end);
    this.#start({ id: `${MAKE_GOOD_PREFIX}${job}`, amount, at, deadFrom: end, priority, category });
  }

  /** The running jobs burn so many seconds, in which nothing else happens. */
  #burn(seconds: number): void {
    let left = BigInt(seconds);
    if (!this.#isPoisoned) {
      const paid = least(left, this.#free.total / this.#ratePerSecond);
      this.#take(paid * this.#ratePerSecond, "consumed");
      left -= paid;
    }
    if (left === 0n) return;
    this.#dryAt ??= this.#now + seconds - Number(left);
    if (this.#policy.overdraw === "reject") this.#burnWhatFits(left);
    else if (this.#policy.overdraw === "poison") for (const rate of this.#running.values()) this.#use(rate);
    else this.#overdraw(left * this.#ratePerSecond);
  }

  /**
   * Each second pays a job whole or not at all, in order of start. As long as the credits cover those together that fitted
   * once, the same ones fit again: who did not fit, fits even less with less.
   */
  #burnWhatFits(seconds: bigint): void {
    let left = seconds;
    while (left > 0n) {
      let fitting = 0n;
      for (const rate of this.#running.values()) if (fitting + rate <= this.#free.total) fitting += rate;
      if (fitting === 0n) return;
      const paid = least(left, this.#free.total / fitting);
      this.#take(paid * fitting, "consumed");
      left -= paid;
    }
  }
}
