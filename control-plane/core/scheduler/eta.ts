/**
 * When will a waiting job start? The dry run says it for those it reaches; for the others, and for those who came since,
 * the tier's virtual time is followed until it reaches the job's start tag.
 */
import type { DryAccount } from "./dry-queue.ts";
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

  startMs(job: QueuedJob): number {
    const known = this.#run.starts.get(job.id);
    if (known !== undefined) return known.startMs;
    const tail = this.#tails.get(job.account)?.get(job.id);
    if (tail !== undefined) return tail;
    const tails = this.#tailsOf(job.account);
    this.#tails.set(job.account, tails);
    return tails.get(job.id) ?? this.#run.untilMs;
  }

  #tailsOf(id: string): ReadonlyMap<string, number> {
    const live = this.#world.view.accounts.get(id);
    const starts = new Map<string, number>();
    if (live === undefined) return starts;
    const dry = this.#run.queue.touched(id);
    const left = [...live.waiting.values()]
      .filter((job) => !this.#run.starts.has(job.id))
      .sort((a, b) => (before(a, b) ? -1 : 1));
    let tag = dry?.tag ?? Math.max(live.tag, live.tier.virtual);
    for (const job of left) {
      starts.set(job.id, this.#reachedMs(live, dry, tag));
      tag += (remainingChargeMs(this.#world.cost, job) * TAG_UNITS) / live.tier.terms.weight;
    }
    return starts;
  }

  #reachedMs(live: Readonly<Account>, _dry: DryAccount | null, tag: number): number {
    const moments = this.#run.virtualOf.get(live.tier.terms.tier) ?? [];
    const last = moments.at(-1);
    if (last === undefined) return this.#run.untilMs;
    if (tag <= last.virtual) return firstAt(moments, tag);
    return Math.max(this.#run.untilMs, last.atMs + (tag - last.virtual) / this.#rate(live, moments));
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

function firstAt(moments: readonly VirtualMoment[], tag: number): number {
  let low = 0;
  let high = moments.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((moments[middle]?.virtual ?? Infinity) < tag) low = middle + 1;
    else high = middle;
  }
  return moments[low]?.atMs ?? 0;
}
