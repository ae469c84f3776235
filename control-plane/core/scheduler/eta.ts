/**
 * When will a waiting job start? The dry run says it for those it reaches; for the others, and for those who came since,
 * the tier's virtual time is followed until it reaches the job's start tag.
 */
import type { DryRun, DryWorld, VirtualMoment } from "./dry-run.ts";
import { remainingChargeMs } from "./event.ts";
import type { QueuedJob } from "./event.ts";
import { shareOf, TAG_UNITS } from "./fair-state.ts";
import type { Account } from "./fair-state.ts";
import { before } from "./job-line.ts";

/** When the job is expected to start, on the clock of `now`. */
export class StartTimes {
  readonly #run: DryRun;
  readonly #world: DryWorld;
  /** Per account, its jobs beyond the dry run. */
  readonly #tails = new Map<string, ReadonlyMap<string, number>>();

  constructor(run: DryRun, world: DryWorld) {
    this.#run = run;
    this.#world = world;
  }

  startMs(job: QueuedJob, nowMs: number): number {
    const known = this.#run.starts.get(job.id);
    if (known !== undefined) return known.startMs;
    const tail = this.#tails.get(job.account)?.get(job.id);
    if (tail !== undefined) return tail;
    const tails = this.#tailsOf(job.account, nowMs);
    this.#tails.set(job.account, tails);
    return tails.get(job.id) ?? this.#run.untilMs;
  }

  /** Starts of the jobs that the dry run did not start: not before their tag's turn, nor before their cap allows. */
  #tailsOf(id: string, nowMs: number): ReadonlyMap<string, number> {
    const live = this.#world.view.accounts.get(id);
    const starts = new Map<string, number>();
    if (live === undefined) return starts;
    const left = [...live.waiting.values()]
      .filter((job) => !this.#run.starts.has(job.id))
      .sort((a, b) => (before(a, b) ? -1 : 1));
    const ends = [...(this.#run.endsOf.get(id) ?? [])].sort((a, b) => a - b);
    let tag = this.#run.queue.touched(id)?.tag ?? Math.max(live.tag, live.tier.virtual);
    for (const job of left) {
      const capMs = ends[ends.length - live.tier.terms.accountRunningMax] ?? nowMs;
      const startMs = Math.max(nowMs, this.#turnMs(live, tag, nowMs), capMs);
      starts.set(job.id, startMs);
      const chargeMs = remainingChargeMs(this.#world.cost, job);
      ends.push(startMs + chargeMs);
      ends.sort((a, b) => a - b);
      tag += (chargeMs * TAG_UNITS) / live.tier.terms.weight;
    }
    return starts;
  }

  /** When fairness comes to this tag. */
  #turnMs(live: Readonly<Account>, tag: number, nowMs: number): number {
    const moments = this.#run.virtualOf.get(live.tier.terms.tier) ?? [];
    const last = moments.at(-1);
    if (last === undefined) return nowMs;
    if (tag < last.virtual) return firstAt(moments, tag, nowMs);
    return last.atMs + (tag - last.virtual) / this.#rate(live, moments);
  }

  /** Tag units of virtual time a millisecond. */
  #rate(live: Readonly<Account>, moments: readonly VirtualMoment[]): number {
    const [first, last] = [moments[0], moments.at(-1)];
    if (first !== undefined && last !== undefined && moments.length > 20 && last.virtual > first.virtual)
      return (last.virtual - first.virtual) / Math.max(1, last.atMs - first.atMs);
    let shares = 0;
    for (const tier of this.#world.view.tiers.values()) if (tier.activeWeight > 0) shares += shareOf(tier);
    const { tier } = live;
    const devices = Math.max(1, this.#world.cluster.deviceCount);
    return (devices * TAG_UNITS * shareOf(tier)) / Math.max(1, shares * tier.activeWeight);
  }
}

/** The first dispatch from `nowMs` on whose tag is beyond this one. */
function firstAt(moments: readonly VirtualMoment[], tag: number, nowMs: number): number {
  let low = 0;
  let high = moments.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    const moment = moments[middle];
    if (moment !== undefined && (moment.virtual <= tag || moment.atMs < nowMs)) low = middle + 1;
    else high = middle;
  }
  return moments[low]?.atMs ?? nowMs;
}
