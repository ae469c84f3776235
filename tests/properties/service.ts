/** Who was served how much, in GPU-milliseconds of fair charge: by dispatch, and as received. */
import type { Place, QueuedJob } from "#control-plane/core/scheduler/event.ts";
import { demand, SILENT } from "./laws.ts";
import { COST } from "./studio.ts";
import type { Laws, World } from "./world.ts";

function chargeOf(job: QueuedJob): number {
  return COST.chargeMs(job.class, job.steps - job.stepsDone);
}

interface Bound {
  readonly costliestMs: number;
  /** GPU time at weight 1 that an account may go before its turn; tiers are then not compared. */
  readonly skipMs?: number;
}

/**
 * P1: of accounts of one tier that always wait, and of tiers, none leads another by more than the costliest job, in service
 * dispatched over weight or share. Holds as long as everybody waits.
 */
export class EvenDispatch implements Laws {
  readonly onState = SILENT.onState;
  readonly onPreempt = SILENT.onPreempt;
  readonly onSettled = SILENT.onSettled;
  worst = 0;
  readonly #bound: Bound;
  readonly #served = new Map<string, number>();

  constructor(bound: Bound) {
    this.#bound = bound;
  }

  onPlace(world: World, { job }: Place): void {
    const waits = (account: string) => [...world.waiting.values()].some((other) => other.account === account);
    if (![...world.accounts.keys()].every(waits)) return;
    this.#served.set(job.account, (this.#served.get(job.account) ?? 0) + chargeOf(job));
    const shares = new Map<string, number>();
    const servedTiers = new Map<string, number>();
    for (const account of world.accounts.keys()) {
      const { tier, weight } = world.tierOf(account);
      shares.set(tier, (shares.get(tier) ?? 0) + weight);
      servedTiers.set(tier, (servedTiers.get(tier) ?? 0) + (this.#served.get(account) ?? 0));
    }
    for (const tier of shares.keys()) {
      const equals = [...world.accounts].filter(([, of]) => of === tier).map(([account]) => account);
      this.#compare(
        equals.map((account) => (this.#served.get(account) ?? 0) / world.tierOf(account).weight),
        Math.min(...equals.map((account) => world.tierOf(account).weight)),
      );
    }
    if (this.#bound.skipMs !== undefined) return;
    this.#compare(
      [...servedTiers].map(([tier, served]) => served / (shares.get(tier) ?? 1)),
      Math.min(...shares.values()),
    );
  }

  #compare(served: readonly number[], leastWeight: number): void {
    const { costliestMs, skipMs = 0 } = this.#bound;
    const spread = (Math.max(...served) - Math.min(...served)) / (costliestMs / leastWeight + skipMs);
    this.worst = Math.max(this.worst, spread);
    // Tags are whole numbers: each dispatch may round by a thousandth of a millisecond.
    demand(spread <= 1.000_01, `P1: equals are ${spread} of the costliest job apart`);
  }
}

/** P2: since two accounts of a tier both wait without a break, none was served more than two jobs over the other. */
export class EvenSinceJoining implements Laws {
  readonly onPreempt = SILENT.onPreempt;
  readonly onSettled = SILENT.onSettled;
  worst = 0;
  readonly #bound: Bound;
  #at = 0;
  readonly #joined = new Map<string, number>();
  readonly #served: { readonly at: number; readonly account: string; readonly chargeMs: number }[] = [];

  constructor(bound: Bound) {
    this.#bound = bound;
  }

  onState(world: World): void {
    this.#at++;
    for (const account of world.accounts.keys()) {
      const waits = [...world.waiting.values()].some((job) => job.account === account);
      if (!waits) this.#joined.delete(account);
      else if (!this.#joined.has(account)) this.#joined.set(account, this.#at);
    }
  }

  onPlace(world: World, { job }: Place): void {
    this.#at++;
    this.#served.push({ at: this.#at, account: job.account, chargeMs: chargeOf(job) });
    const joined = this.#joined.get(job.account) ?? Infinity;
    for (const [other, otherJoined] of this.#joined) {
      if (other === job.account || world.tierOf(other) !== world.tierOf(job.account)) continue;
      const since = Math.max(joined, otherJoined);
      const lead = this.#servedSince(job.account, since) - this.#servedSince(other, since);
      const spread = lead / this.#bound.costliestMs;
      this.worst = Math.max(this.worst, spread);
      demand(spread <= 2.000_01, `P2: ${job.account} leads ${other} by ${spread} of the costliest job`);
    }
    const waitsOn = [...world.waiting.values()].some(({ id, account }) => account === job.account && id !== job.id);
    if (!waitsOn) this.#joined.delete(job.account);
  }

  #servedSince(account: string, since: number): number {
    return this.#served.reduce(
      (sum, served) => sum + (served.account === account && served.at > since ? served.chargeMs : 0),
      0,
    );
  }
}

/** P3: with M devices, received service over weight of those who always wait differs by at most (M + 1) times two jobs. */
export class EvenReceived implements Laws {
  readonly onState = SILENT.onState;
  readonly onPreempt = SILENT.onPreempt;
  worst = 0;
  readonly #bound: Bound;
  readonly #places: Place[] = [];

  constructor(bound: Bound) {
    this.#bound = bound;
  }

  onPlace(_world: World, place: Place): void {
    this.#places.push(place);
  }

  onSettled(world: World): void {
    const waits = new Set([...world.waiting.values()].map(({ account }) => account));
    if ([...world.accounts.keys()].some((account) => !waits.has(account))) return;
    const received = new Map<string, number>();
    for (const { job } of this.#places) {
      const run = world.running.get(job.id);
      const steps = run === undefined ? job.steps : world.stepsRunAt(run, world.nowMs);
      received.set(job.account, (received.get(job.account) ?? 0) + COST.chargeMs(job.class, steps));
    }
    const devices = world.runners.reduce((sum, runner) => sum + runner.devices.length, 0);
    for (const tier of world.tiers.values()) {
      const equals = [...world.accounts].filter(([, of]) => of === tier.tier).map(([id]) => received.get(id) ?? 0);
      if (equals.length < 2) continue;
      const spread = (Math.max(...equals) - Math.min(...equals)) / ((devices + 1) * 2 * this.#bound.costliestMs);
      this.worst = Math.max(this.worst, spread);
      demand(spread <= 1, `P3: equals received ${spread} of the bound apart`);
    }
  }
}

/**
 * P6: what an account that never stops waiting is charged, is what was run of its jobs, to the rounding: each attempt is
 * charged once and settled once.
 */
export class ExactCharge implements Laws {
  readonly onState = SILENT.onState;
  readonly onPreempt = SILENT.onPreempt;
  attempts = 0;
  /** Accounts that had nothing waiting for a moment: from then on virtual time may lift them. */
  readonly #paused = new Set<string>();
  readonly #owed = new Map<string, { ms: number; attempts: number }>();

  onPlace(world: World, { job }: Place): void {
    this.#add(job.account, chargeOf(job));
    if (awakeOf(world, job.account).length < 2) this.#paused.add(job.account);
    this.attempts++;
  }

  onEnded(_world: World, job: QueuedJob, stepsRun: number): void {
    this.#add(job.account, COST.chargeMs(job.class, stepsRun) - chargeOf(job));
  }

  onSettled(world: World): void {
    for (const { account, tag } of world.clock().accounts) {
      const owed = this.#owed.get(account);
      if (owed === undefined || this.#paused.has(account)) continue;
      const { weight } = world.tierOf(account);
      const off = Math.abs((tag * weight) / 1_000 - owed.ms);
      demand(
        off <= 2 * owed.attempts,
        `P6: ${account} is charged ${tag} for ${owed.ms} ms of ${owed.attempts} attempts`,
      );
    }
  }

  #add(account: string, ms: number): void {
    const owed = this.#owed.getOrInsertComputed(account, () => ({ ms: 0, attempts: 0 }));
    owed.ms += ms;
    owed.attempts++;
  }
}

function awakeOf(world: World, account: string): readonly QueuedJob[] {
  return [...world.waiting.values()].filter((job) => job.account === account && job.notBeforeMs <= world.decidedMs);
}
