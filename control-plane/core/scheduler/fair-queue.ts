/**
 * Who is next: weighted fair queueing in GPU-time over two levels, tiers and their accounts.
 *
 * Tags are virtual start times in whole units. A dispatch charges its estimate to the account (over its weight) and to the
 * tier (over the tier's share); what did not run is given back at the end. An account or tier that comes back is lifted to
 * the present virtual time: idling, or standing at a cap, banks no credit. Every (tier, class) has a heap of the accounts
 * that may run a job of it now; accounts at their cap, in backoff or without jobs are in none.
 */
import { invariant } from "#protocol/invariant.ts";
import { batchMates } from "./batch-mates.ts";
import { remainingChargeMs } from "./event.ts";
import type { FairClock, QueuedJob, TierClock, TierTerms } from "./event.ts";
import { IndexedHeap } from "./indexed-heap.ts";
import type { CostModel } from "./job-class.ts";
import { charge, comeBack, giveBack, newClaim } from "./fair-claim.ts";
import { chargeOf, unitsOf } from "./fair-charge.ts";
import type { Charge } from "./fair-charge.ts";
import { enterHeaps, headOf, headsUntil, joinLines, leaveHeaps, leaveLines } from "./fair-heaps.ts";
import { shareOf, TAG_UNITS } from "./fair-state.ts";
import type { Account, FairView, Tier } from "./fair-state.ts";

/** Where a job's account and tier stand, to compare two jobs. */
export interface Standing {
  readonly tier: string;
  readonly tag: number;
  readonly tierTag: number;
  /** GPU-milliseconds in tag units of this account, and of this tier. */
  unitsOf(gpuMs: number): number;
  tierUnitsOf(gpuMs: number): number;
}

export class FairQueue {
  readonly #cost: CostModel;
  readonly #tiers = new Map<string, Tier>();
  readonly #accounts = new Map<string, Account>();
  readonly #waiting = new Map<string, QueuedJob>();
  /** Jobs in backoff, by the end of it; in no line. */
  readonly #asleep = new IndexedHeap();
  readonly #charges = new Map<string, Charge>();
  /** Accounts whose tag fell since a clock was last stored. */
  readonly #unstored = new Set<string>();
  #virtual = 0;
  #leastStored = Infinity;
  #runnableMs = 0;

  constructor(cost: CostModel) {
    this.#cost = cost;
  }

  /** Fair charge of what waits and could run now if there were devices: jobs behind their account's cap do not count. */
  get runnableMs(): number {
    return this.#runnableMs;
  }

  /** As it stands; read before anything changes. */
  get view(): FairView {
    return {
      tiers: this.#tiers,
      accounts: this.#accounts,
      waiting: this.#waiting,
      asleep: this.#asleep,
      virtual: this.#virtual,
    };
  }

  setTier(terms: TierTerms): void {
    const known = this.#tiers.get(terms.tier);
    if (known === undefined) {
      const tier = {
        ...newClaim(this.#virtual),
        terms,
        virtual: 0,
        running: 0,
        activeWeight: 0,
        heaps: new Map(),
        kinds: new Map(),
        eligible: 0,
        backlog: new Map(),
      };
      this.#tiers.set(terms.tier, tier);
      return;
    }
    const { weight } = known.terms;
    known.activeWeight = weight === 0 ? 0 : (known.activeWeight / weight) * terms.weight;
    known.terms = terms;
    for (const account of this.#accounts.values()) if (account.tier === known) this.#refresh(account);
  }

  /**
   * Virtual time over the tiers is not stored: no stored tag lies before it, so the least of them is as good. Were it set
   * later, it would lift the tiers that were behind and forgive the others.
   */
  setClock({ tier, tag, virtual }: TierClock): void {
    const known = this.#tiers.get(tier);
    if (known === undefined) return;
    known.tag = tag;
    known.virtual = virtual;
    this.#leastStored = Math.min(this.#leastStored, tag);
    this.#virtual = this.#leastStored;
  }

  /**
   * The clocks of all tiers as they stand, a tier that is away where it would come back, and the tags of these accounts and
   * of those that were given something back since the last ones were stored.
   */
  clock(accounts: readonly string[]): FairClock {
    return {
      accounts: [...this.#unstored.union(new Set(accounts))].map((account) => ({
        account,
        tag: this.#account(account).tag,
      })),
      tiers: [...this.#tiers.values()].map(({ terms, tag, virtual, eligible }) => ({
        tier: terms.tier,
        tag: eligible === 0 ? Math.max(tag, this.#virtual) : tag,
        virtual,
      })),
    };
  }

  /** The latest clock is committed. */
  clockStored(): void {
    this.#unstored.clear();
  }

  setAccount(id: string, tierName: string, storedTag?: number): void {
    const tier = this.#tiers.get(tierName);
    invariant(tier !== undefined, "an account's tier is known before it");
    const known = this.#accounts.get(id);
    if (known === undefined) {
      const account = {
        ...newClaim(storedTag ?? tier.virtual),
        id,
        tier,
        running: 0,
        waiting: new Map(),
        eligible: false,
        backlogMs: 0,
        runnableMs: 0,
        lines: new Map(),
        kinds: new Map(),
      };
      this.#accounts.set(id, account);
      return;
    }
    if (known.tier === tier) return;
    this.#leaveHeaps(known);
    const active = known.waiting.size + known.running > 0;
    if (active) known.tier.activeWeight -= known.tier.terms.weight;
    known.tier.running -= known.running;
    for (const job of known.waiting.values()) {
      this.#weigh(known.tier, job, -1);
      this.#weigh(tier, job, 1);
    }
    known.tier = tier;
    known.tag = tier.virtual;
    comeBack(known, tier.virtual);
    if (active) tier.activeWeight += tier.terms.weight;
    tier.running += known.running;
    this.#refresh(known);
  }

  add(job: QueuedJob, nowMs: number): void {
    invariant(!this.#waiting.has(job.id) && !this.#charges.has(job.id), "a job waits once");
    const account = this.#account(job.account);
    this.#waiting.set(job.id, job);
    account.backlogMs += remainingChargeMs(this.#cost, job);
    this.#weigh(account.tier, job, 1);
    if (account.waiting.size + account.running === 0) account.tier.activeWeight += account.tier.terms.weight;
    account.waiting.set(job.id, job);
    if (job.notBeforeMs > nowMs) this.#asleep.set(job.id, job.notBeforeMs);
    else joinLines(account, job);
    this.#refresh(account);
  }

  withdraw(id: string): void {
    const job = this.#waiting.get(id);
    if (job === undefined) return;
    this.#remove(job);
    const account = this.#account(job.account);
    this.#deactivateIfIdle(account);
    this.#refresh(account);
  }

  /** Puts jobs whose backoff ended back into their lines. */
  wake(nowMs: number): void {
    for (let first = this.#asleep.peek(); first !== null && first.key <= nowMs; first = this.#asleep.peek()) {
      this.#asleep.remove(first.id);
      const job = this.#waiting.get(first.id);
      if (job === undefined) continue;
      const account = this.#account(job.account);
      joinLines(account, job);
      this.#refresh(account);
    }
  }

  nextWakeMs(): number | null {
    return this.#asleep.peek()?.key ?? null;
  }

  /**
   * The first job in fair order that `accepts` takes. A class whose head was not taken is not asked for again: what does
   * not fit for one does not fit for the next. `skipped` says whom fairness would have served first.
   */
  next(
    blocked: Set<string>,
    accepts: (job: QueuedJob) => boolean,
  ): { readonly taken: QueuedJob | null; readonly skipped: QueuedJob | null } {
    let skipped: QueuedJob | null = null;
    for (const tier of this.#tiersInOrder()) {
      for (
        let head = headOf(tier, this.#accounts, blocked);
        head !== null;
        head = headOf(tier, this.#accounts, blocked)
      ) {
        if (accepts(head)) return { taken: head, skipped };
        skipped ??= head;
        blocked.add(head.class);
      }
    }
    return { taken: null, skipped };
  }

  /** The waiting job, if neither a backoff nor a cap keeps it from running now. */
  startable(id: string): QueuedJob | null {
    const job = this.#waiting.get(id);
    return job === undefined || this.#asleep.has(id) || this.atCap(job) ? null : job;
  }

  /**
   * Heads that may go before the turn of `first`, which was next in fair order: of every tier, class and kind of weights
   * the least account, if it is ahead by at most `skipMs` of GPU time at weight 1. `first` itself may be among them.
   */
  within(first: QueuedJob, skipMs: number, blocked: ReadonlySet<string>, weights: Iterable<string>): QueuedJob[] {
    const accounts = this.#accounts;
    const firstTier = this.#account(first.account).tier;
    return this.#tiersInOrder().flatMap((tier) => {
      const least = tier === firstTier ? first : headOf(tier, accounts, blocked);
      if (least === null) return [];
      const untilTag = this.#account(least.account).tag + skipMs * TAG_UNITS;
      return headsUntil(tier, accounts, untilTag, blocked, weights);
    });
  }

  /** Waiting jobs that could run together with this one, in fair order. */
  mates(first: QueuedJob, limit: number): readonly QueuedJob[] {
    const units = remainingChargeMs(this.#cost, first) * TAG_UNITS;
    const unitsIn = (tier: Tier) => Math.ceil(units / tier.terms.weight);
    return batchMates(this.#tiersInOrder(), (id) => this.#account(id), unitsIn, first, limit);
  }

  /** Dispatches a waiting job, alone or as one of `batch`: it leaves the queue, and its estimate is charged. `first`: whose turn it was. */
  take(id: string, batch: number, first: QueuedJob | null): void {
    const job = this.#waiting.get(id);
    invariant(job !== undefined, "only a waiting job is taken");
    const account = this.#account(job.account);
    const { tier } = account;
    const units = unitsOf(this.#cost, job, account, batch);
    this.#charges.set(id, chargeOf(job, account, units));
    // Virtual time is where the one stands whose turn it was: who is served before its turn does not advance it.
    const turn = first === null ? account : this.#account(first.account);
    this.#virtual = Math.max(this.#virtual, Math.min(tier.tag, turn.tier.tag));
    if (turn.tier === tier) tier.virtual = Math.max(tier.virtual, Math.min(account.tag, turn.tag));
    charge(tier, units.tier);
    charge(account, units.account);
    account.running++;
    tier.running++;
    this.#remove(job);
    this.#refresh(account);
  }

  /** A job that already runs, met at takeover: it counts against the caps. Another leader charged it; what does not run is given back here. */
  adopt(job: QueuedJob): void {
    invariant(!this.#waiting.has(job.id) && !this.#charges.has(job.id), "a job is adopted once");
    const account = this.#account(job.account);
    const { tier } = account;
    if (account.waiting.size + account.running === 0) tier.activeWeight += tier.terms.weight;
    account.running++;
    tier.running++;
    this.#charges.set(job.id, chargeOf(job, account, null));
    this.#refresh(account);
  }

  /** A dispatch that did not happen: as if it had never been tried. */
  untake(id: string): void {
    const charged = this.#charges.get(id);
    if (charged === undefined) return;
    this.#giveBack(charged, 1);
    this.#stopRunning(charged);
  }

  /** The end of an attempt that ran `stepsRun` of what was left; the rest of the charge is given back. */
  settle(id: string, stepsRun: number): void {
    const charged = this.#charges.get(id);
    if (charged === undefined) return;
    const planned = charged.job.steps - charged.job.stepsDone;
    this.#giveBack(charged, planned <= 0 ? 0 : Math.max(0, 1 - stepsRun / planned));
    this.#stopRunning(charged);
  }

  standing(job: QueuedJob): Standing {
    const { tag, tier } = this.#account(job.account);
    const share = shareOf(tier);
    return {
      tier: tier.terms.tier,
      tag,
      tierTag: tier.tag,
      unitsOf: (gpuMs) => (gpuMs * TAG_UNITS) / tier.terms.weight,
      tierUnitsOf: (gpuMs) => (gpuMs * TAG_UNITS) / share,
    };
  }

  /** The job, if it waits. */
  waitingJob(id: string): QueuedJob | null {
    return this.#waiting.get(id) ?? null;
  }

  /** True while the account of a waiting job runs as many as it may. */
  atCap(job: QueuedJob): boolean {
    const { tier, running } = this.#account(job.account);
    return running >= tier.terms.accountRunningMax || tier.running >= tier.terms.tierRunningMax;
  }

  /** Ids of an account's waiting jobs. */
  waitingOf(account: string): readonly string[] {
    return [...(this.#accounts.get(account)?.waiting.keys() ?? [])];
  }

  #giveBack({ account, tier, job, units, accountComebacks, tierComebacks }: Charge, share: number): void {
    const charged = units ?? unitsOf(this.#cost, job, account);
    giveBack(account, Math.floor(charged.account * share), accountComebacks);
    this.#unstored.add(account.id);
    giveBack(tier, Math.floor(charged.tier * share), tierComebacks);
  }

  #stopRunning(charge: Charge): void {
    this.#charges.delete(charge.job.id);
    charge.account.running--;
    // Its tier of today: an account that moves takes along what it runs.
    charge.account.tier.running--;
    this.#deactivateIfIdle(charge.account);
    this.#refresh(charge.account);
  }

  #remove(job: QueuedJob): void {
    const account = this.#account(job.account);
    this.#waiting.delete(job.id);
    account.backlogMs -= remainingChargeMs(this.#cost, job);
    this.#weigh(account.tier, job, -1);
    account.waiting.delete(job.id);
    if (this.#asleep.has(job.id)) this.#asleep.remove(job.id);
    else leaveLines(account, job);
  }

  #weigh(tier: Tier, job: QueuedJob, sign: 1 | -1): void {
    const backlog = tier.backlog.getOrInsertComputed(job.class, () => ({ jobs: 0, chargeMs: 0 }));
    backlog.jobs += sign;
    backlog.chargeMs += sign * remainingChargeMs(this.#cost, job);
  }

  #deactivateIfIdle(account: Account): void {
    if (account.waiting.size + account.running === 0) account.tier.activeWeight -= account.tier.terms.weight;
  }

  /** Brings the heaps in line with what the account may do now. */
  #refresh(account: Account): void {
    const { tier } = account;
    const headroom = Math.max(0, tier.terms.accountRunningMax - account.running);
    const runnableMs = account.backlogMs * Math.min(1, headroom / Math.max(1, account.waiting.size));
    this.#runnableMs += runnableMs - account.runnableMs;
    account.runnableMs = runnableMs;
    const runnable =
      account.running < tier.terms.accountRunningMax && [...account.lines.values()].some((line) => line.size > 0);
    if (!runnable) return this.#leaveHeaps(account);
    if (!account.eligible) {
      account.eligible = true;
      comeBack(account, tier.virtual);
      if (tier.eligible++ === 0) comeBack(tier, this.#virtual);
    }
    enterHeaps(account);
  }

  #leaveHeaps(account: Account): void {
    if (!account.eligible) return;
    account.eligible = false;
    account.tier.eligible--;
    leaveHeaps(account);
  }

  #tiersInOrder(): readonly Tier[] {
    return [...this.#tiers.values()]
      .filter((tier) => tier.eligible > 0 && tier.running < tier.terms.tierRunningMax)
      .toSorted((a, b) => a.tag - b.tag || (a.terms.tier < b.terms.tier ? -1 : 1));
  }

  #account(id: string): Account {
    const account = this.#accounts.get(id);
    invariant(account !== undefined, "an account is known before its jobs");
    return account;
  }
}
