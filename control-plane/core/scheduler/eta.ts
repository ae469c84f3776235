/**
 * When a waiting job starts. The dry run says it for the jobs that it started. For the others, and for those that came
 * since, the tier's virtual time is followed until it reaches the job's start tag: past the end of the dry run at the pace
 * that it had there.
 */
import type { DryRun, DryStart, DryWorld } from "./dry-run.ts";
import { remainingChargeMs } from "./event.ts";
import type { QueuedJob } from "./event.ts";
import { shareOf, TAG_UNITS } from "./fair-state.ts";
import type { Account, Tier } from "./fair-state.ts";
import { before } from "./job-line.ts";

/** Dispatches of a tier from which its pace can be read. */
const PACE_STARTS_MIN = 20;

export interface Forecast {
  readonly startMs: number;
  readonly finishMs: number;
  /** Waiting jobs that start before it. */
  readonly position: number;
}

export class Forecasts {
  readonly #run: DryRun;
  readonly #world: DryWorld;
  readonly #starts: readonly DryStart[];
  readonly #startsOfClass: ReadonlyMap<string, readonly DryStart[]>;
  /** Per account, when the last of its jobs starts that the dry run started. */
  readonly #lastStartMs = new Map<string, number>();
  /** Per account, its jobs that the dry run did not start. */
  readonly #tails = new Map<string, ReadonlyMap<string, Forecast>>();

  constructor(run: DryRun, world: DryWorld) {
    this.#run = run;
    this.#world = world;
    this.#starts = [...run.starts.values()];
    for (const { job, startMs } of this.#starts) this.#lastStartMs.set(job.account, startMs);
    this.#startsOfClass = Map.groupBy(this.#starts, ({ job }) => job.class);
  }

  of(job: QueuedJob, nowMs: number): Forecast {
    const start = this.#run.starts.get(job.id);
    if (start !== undefined) return { ...start, position: this.#position(start.startMs, start.position, nowMs) };
    const known = this.#tails.get(job.account)?.get(job.id);
    if (known !== undefined) return known;
    const tail = this.#tailOf(job.account, nowMs);
    this.#tails.set(job.account, tail);
    return tail.get(job.id) ?? { startMs: nowMs, finishMs: nowMs, position: 0 };
  }

  /** Whether somebody else's job starts before it. */
  hasOthersAhead(account: string, position: number): boolean {
    for (let at = 0; at < Math.min(position, this.#starts.length); at++) {
      if (this.#starts[at]?.job.account !== account) return true;
    }
    return position > this.#starts.length;
  }

  /**
   * When a job of the class would start that an account with nothing else submits to the tier now: once fairness comes to
   * it, and then with the next start of its class, because what fits for others need not fit for it.
   */
  newcomerMs(tier: Readonly<Tier>, classId: string, nowMs: number): number {
    const turnMs = Math.max(nowMs, this.#turnMs(tier, tier.virtual, nowMs));
    const starts = this.#startsOfClass.get(classId) ?? [];
    return starts[firstOf(starts, ({ startMs }) => startMs >= turnMs)]?.startMs ?? turnMs;
  }

  /** Not before their tag's turn, nor before their cap allows. */
  #tailOf(id: string, nowMs: number): ReadonlyMap<string, Forecast> {
    const live = this.#world.view.accounts.get(id);
    const tail = new Map<string, Forecast>();
    if (live === undefined) return tail;
    const { terms } = live.tier;
    const left = [...live.waiting.values()]
      .filter((job) => !this.#run.starts.has(job.id))
      .sort((a, b) => (before(a, b) ? -1 : 1));
    const ends = [...(this.#run.endsOf.get(id) ?? [])].sort((a, b) => a - b);
    let tag = this.#firstTagOf(live);
    let earliestMs = this.#lastStartMs.get(id) ?? nowMs;
    for (const job of left) {
      const capMs = ends[ends.length - terms.accountRunningMax] ?? nowMs;
      const startMs = Math.max(nowMs, earliestMs, job.notBeforeMs, this.#turnMs(live.tier, tag, nowMs), capMs);
      const chargeMs = remainingChargeMs(this.#world.cost, job);
      const finishMs = startMs + chargeMs;
      tail.set(job.id, { startMs, finishMs, position: this.#position(startMs, this.#rank(startMs), nowMs) });
      ends.push(finishMs);
      // An account's jobs start in their order, whatever the estimates are.
      earliestMs = startMs;
      tag += (chargeMs * TAG_UNITS) / terms.weight;
    }
    return tail;
  }

  #firstTagOf({ id, tag, tier }: Readonly<Account>): number {
    return this.#run.queue.touched(id)?.tag ?? Math.max(tag, tier.virtual);
  }

  /** When fairness comes to a tag of the tier. */
  #turnMs(tier: Readonly<Tier>, tag: number, nowMs: number): number {
    const starts = this.#run.startsOfTier.get(tier.terms.tier) ?? [];
    const last = starts.at(-1);
    if (last === undefined) return nowMs;
    if (tag < last.virtual) {
      const turn = firstOf(starts, (start) => start.virtual > tag && start.startMs >= nowMs);
      return starts[turn]?.startMs ?? nowMs;
    }
    return last.startMs + (tag - last.virtual) / this.#pace(tier, starts);
  }

  /** Tag units of virtual time a millisecond: as the dry run had it, else as the shares say. */
  #pace(tier: Readonly<Tier>, starts: readonly DryStart[]): number {
    const [first, last] = [starts[0], starts.at(-1)];
    const seen =
      first === undefined || last === undefined || starts.length < PACE_STARTS_MIN ? 0 : last.virtual - first.virtual;
    if (seen > 0) return seen / Math.max(1, (last?.startMs ?? 0) - (first?.startMs ?? 0));
    let shares = 0;
    for (const other of this.#world.view.tiers.values()) if (other.activeWeight > 0) shares += shareOf(other);
    const devices = Math.max(1, this.#world.cluster.deviceCount);
    return (devices * TAG_UNITS * shareOf(tier)) / Math.max(1, shares * tier.activeWeight);
  }

  /** Jobs that start before that time: counted within the dry run, at its pace beyond it. */
  #rank(startMs: number): number {
    const last = this.#starts.at(-1);
    if (last === undefined || startMs <= last.startMs) return firstOf(this.#starts, (start) => start.startMs > startMs);
    const perMs = this.#starts.length / Math.max(1, this.#run.untilMs - this.#run.atMs);
    return this.#starts.length + Math.floor((startMs - last.startMs) * perMs);
  }

  /** Without those that have started since the dry run. */
  #position(startMs: number, rank: number, nowMs: number): number {
    if (startMs < nowMs) return 0;
    const gone = firstOf(this.#starts, (start) => start.startMs >= nowMs);
    return Math.max(0, Math.min(rank - gone, this.#world.view.waiting.size - 1));
  }
}

/** The first index that holds, of a list in which those that do not come first. */
function firstOf<Item>(items: readonly Item[], holds: (item: Item) => boolean): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const item = items[middle];
    if (item !== undefined && !holds(item)) low = middle + 1;
    else high = middle;
  }
  return low;
}
