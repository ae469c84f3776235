/**
 * The fair order of a dry run: what `fair-queue.ts` would do, on top of it and without a change to it.
 *
 * Only accounts that the dry run touches are copied. The rest is read from the live heaps in order and no further than
 * needed, so a dry run costs by its dispatches and not by how many wait.
 */
import { invariant } from "#protocol/invariant.ts";
import { remainingChargeMs } from "./event.ts";
import type { QueuedJob, TierTerms } from "./event.ts";
import { shareOf, TAG_UNITS } from "./fair-state.ts";
import type { Account, FairView, Tier } from "./fair-state.ts";
import { IndexedHeap } from "./indexed-heap.ts";
import type { CostModel } from "./job-class.ts";
import { before } from "./job-line.ts";
import type { JobLine } from "./job-line.ts";

/** Jobs of one account and class: those of the live line from `from` on, and those that woke up since. */
interface DryLine {
  readonly class: string;
  readonly line: JobLine | null;
  from: number;
  readonly woken: QueuedJob[];
}

export interface DryAccount {
  readonly id: string;
  readonly tier: DryTier;
  tag: number;
  running: number;
  /** Backoff included. */
  waiting: number;
  eligible: boolean;
  readonly lines: DryLine[];
}

export interface DryTier {
  readonly terms: TierTerms;
  tag: number;
  virtual: number;
  running: number;
  activeWeight: number;
  eligible: number;
  /** Per class, accounts that were not touched yet, in order. */
  readonly untouched: ReadonlyMap<string, Walk>;
  /** Per class, accounts that were. */
  readonly touched: Map<string, IndexedHeap>;
}

interface Walk {
  readonly members: ReturnType<IndexedHeap["ascending"]>;
  first: { readonly id: string; readonly key: number } | null;
}

interface Head {
  readonly key: number;
  readonly id: string;
  readonly job: QueuedJob;
}

export class DryQueue {
  readonly tiers: ReadonlyMap<string, DryTier>;
  readonly #view: FairView;
  readonly #cost: CostModel;
  readonly #accounts = new Map<string, DryAccount>();
  #virtual: number;

  constructor(view: FairView, cost: CostModel) {
    this.#view = view;
    this.#cost = cost;
    this.#virtual = view.virtual;
    this.tiers = new Map([...view.tiers].map(([name, tier]) => [name, dryTier(tier)]));
  }

  /** What the dry run has made of an account; null if it did not touch it. */
  touched(id: string): DryAccount | null {
    return this.#accounts.get(id) ?? null;
  }

  /** The first job in fair order that `accepts` takes; classes of those that it does not are blocked from then on. */
  next(blocked: Set<string>, accepts: (job: QueuedJob) => boolean): QueuedJob | null {
    for (const tier of this.#tiersInOrder()) {
      for (let head = this.#headOf(tier, blocked); head !== null; head = this.#headOf(tier, blocked)) {
        if (accepts(head)) return head;
        blocked.add(head.class);
      }
    }
    return null;
  }

  /** As `FairQueue.within`, but for the kinds of weights: those are seen only where they are at the front of a class. */
  within(first: QueuedJob, skipMs: number, blocked: ReadonlySet<string>): readonly QueuedJob[] {
    const firstTier = this.#tierOf(first.account);
    return this.#tiersInOrder().flatMap((tier) => {
      const least = tier === firstTier ? first : this.#headOf(tier, blocked);
      if (least === null) return [];
      const untilTag = this.#tagOf(least.account) + skipMs * TAG_UNITS;
      const classes = new Set([...tier.untouched.keys(), ...tier.touched.keys()]);
      return [...classes].flatMap((jobClass) => {
        const head = blocked.has(jobClass) ? null : this.#headOfClass(tier, jobClass);
        return head !== null && head.key <= untilTag ? [head.job] : [];
      });
    });
  }

  #tierOf(account: string): DryTier | undefined {
    const name = this.#accounts.get(account)?.tier.terms.tier ?? this.#view.accounts.get(account)?.tier.terms.tier;
    return name === undefined ? undefined : this.tiers.get(name);
  }

  #tagOf(account: string): number {
    return (this.#accounts.get(account) ?? this.#view.accounts.get(account))?.tag ?? 0;
  }

  /** Dispatches; answers the tier, and where its virtual time stands then. */
  take(job: QueuedJob, first: QueuedJob = job): { readonly tier: string; readonly virtual: number } {
    const account = this.#touch(job.account);
    const { tier } = account;
    const units = remainingChargeMs(this.#cost, job) * TAG_UNITS;
    const turnTier = this.#tierOf(first.account) ?? tier;
    this.#virtual = Math.max(this.#virtual, Math.min(tier.tag, turnTier.tag));
    if (turnTier === tier) tier.virtual = Math.max(tier.virtual, Math.min(account.tag, this.#tagOf(first.account)));
    tier.tag += Math.ceil(units / shareOf(tier));
    account.tag += Math.ceil(units / tier.terms.weight);
    account.running++;
    tier.running++;
    account.waiting--;
    const line = this.#lineOf(account, job.class);
    if (line.woken[0]?.id === job.id) line.woken.shift();
    else line.from++;
    this.#refresh(account);
    return { tier: tier.terms.tier, virtual: tier.virtual };
  }

  /** A job of the account ended. */
  ended(id: string): void {
    const account = this.#touch(id);
    account.running--;
    account.tier.running--;
    if (account.waiting + account.running === 0) account.tier.activeWeight -= account.tier.terms.weight;
    this.#refresh(account);
  }

  /** A job's backoff is over. */
  woke(job: QueuedJob): void {
    const account = this.#touch(job.account);
    const { woken } = this.#lineOf(account, job.class);
    woken.push(job);
    woken.sort((a, b) => (before(a, b) ? -1 : 1));
    this.#refresh(account);
  }

  #tiersInOrder(): readonly DryTier[] {
    return [...this.tiers.values()]
      .filter((tier) => tier.eligible > 0 && tier.running < tier.terms.tierRunningMax)
      .sort((a, b) => a.tag - b.tag || (a.terms.tier < b.terms.tier ? -1 : 1));
  }

  #headOf(tier: DryTier, blocked: ReadonlySet<string>): QueuedJob | null {
    let best: Head | null = null;
    for (const jobClass of tier.untouched.keys()) {
      if (!blocked.has(jobClass)) best = this.#untouchedHead(tier, jobClass, best);
    }
    for (const jobClass of tier.touched.keys()) {
      if (!blocked.has(jobClass)) best = this.#touchedHead(tier, jobClass, best);
    }
    return best?.job ?? null;
  }

  #headOfClass(tier: DryTier, jobClass: string): Head | null {
    return this.#touchedHead(tier, jobClass, this.#untouchedHead(tier, jobClass, null));
  }

  #untouchedHead(tier: DryTier, jobClass: string, best: Head | null): Head | null {
    const walk = tier.untouched.get(jobClass);
    if (walk === undefined) return best;
    while (walk.first !== null && this.#accounts.has(walk.first.id)) walk.first = walk.members.next().value ?? null;
    if (walk.first === null || !mayBeat(walk.first, best)) return best;
    const job = this.#view.accounts.get(walk.first.id)?.lines.get(jobClass)?.head() ?? null;
    return better(best, walk.first, job);
  }

  #touchedHead(tier: DryTier, jobClass: string, best: Head | null): Head | null {
    const root = tier.touched.get(jobClass)?.peek() ?? null;
    const line = root === null ? undefined : this.#accounts.get(root.id)?.lines.find((one) => one.class === jobClass);
    return root !== null && line !== undefined && mayBeat(root, best) ? better(best, root, headOf(line)) : best;
  }

  /** From here on it is no longer found among the untouched; whoever touches it refreshes it. */
  #touch(id: string): DryAccount {
    const known = this.#accounts.get(id);
    if (known !== undefined) return known;
    const live = this.#view.accounts.get(id);
    const tier = live === undefined ? undefined : this.tiers.get(live.tier.terms.tier);
    invariant(live !== undefined && tier !== undefined, "a dry run meets only accounts of the fair order");
    const account = copyOf(live, tier);
    this.#accounts.set(id, account);
    return account;
  }

  #refresh(account: DryAccount): void {
    const { tier } = account;
    const runnable =
      account.running < tier.terms.accountRunningMax && account.lines.some((line) => headOf(line) !== null);
    if (!runnable) {
      if (!account.eligible) return;
      account.eligible = false;
      tier.eligible--;
      for (const line of account.lines) tier.touched.get(line.class)?.remove(account.id);
      return;
    }
    if (!account.eligible) {
      account.eligible = true;
      account.tag = Math.max(account.tag, tier.virtual);
      if (tier.eligible++ === 0) tier.tag = Math.max(tier.tag, this.#virtual);
    }
    this.#enterHeaps(account);
  }

  #enterHeaps(account: DryAccount): void {
    for (const line of account.lines) {
      const heap = account.tier.touched.getOrInsertComputed(line.class, () => new IndexedHeap());
      if (headOf(line) === null) heap.remove(account.id);
      else heap.set(account.id, account.tag);
    }
  }

  #lineOf(account: DryAccount, jobClass: string): DryLine {
    const known = account.lines.find((line) => line.class === jobClass);
    if (known !== undefined) return known;
    const line = { class: jobClass, line: null, from: 0, woken: [] };
    account.lines.push(line);
    return line;
  }
}

function dryTier({ terms, tag, virtual, running, activeWeight, eligible, heaps }: Readonly<Tier>): DryTier {
  const untouched = new Map(
    [...heaps].map(([jobClass, heap]) => {
      const members = heap.ascending();
      return [jobClass, { members, first: members.next().value ?? null }];
    }),
  );
  return { terms, tag, virtual, running, activeWeight, eligible, untouched, touched: new Map() };
}

function copyOf(live: Readonly<Account>, tier: DryTier): DryAccount {
  const { id, tag, running, waiting, eligible } = live;
  const lines: DryLine[] = [];
  for (const [jobClass, line] of live.lines)
    if (line.size > 0) lines.push({ class: jobClass, line, from: 0, woken: [] });
  return { id, tier, tag, running, waiting: waiting.size, eligible, lines };
}

function headOf({ line, from, woken }: DryLine): QueuedJob | null {
  const head = line?.at(from) ?? null;
  const [first] = woken;
  if (first === undefined || head === null) return first ?? head;
  return before(first, head) ? first : head;
}

function mayBeat(root: { readonly id: string; readonly key: number }, best: Head | null): boolean {
  return best === null || root.key < best.key || (root.key === best.key && root.id <= best.id);
}

/** An account at the root of several classes gives its oldest job. */
function better(best: Head | null, root: { readonly id: string; readonly key: number }, job: QueuedJob | null) {
  if (job === null || (best !== null && best.id === root.id && before(best.job, job))) return best;
  return { ...root, job };
}
