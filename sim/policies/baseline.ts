/**
 * What all baselines share: the scheduler's own cluster and placement, exact account caps, and lines of equal jobs. A
 * baseline adds only its order, as a key per account, and what it does about a head that does not fit.
 *
 * Jobs stand in lines by (class, steps) of their account: what does not fit for the head of one line fits for no other of
 * the same class and steps, so a turn looks at each kind of job once. Tier caps are not applied: no simulated tier has one.
 */
import { Cluster } from "#control-plane/core/scheduler/cluster.ts";
import { remainingChargeMs } from "#control-plane/core/scheduler/event.ts";
import type { Place, Policy, QueuedJob, SchedulerEvent, TierTerms } from "#control-plane/core/scheduler/event.ts";
import { Fragmentation } from "#control-plane/core/scheduler/fragmentation.ts";
import { IndexedHeap } from "#control-plane/core/scheduler/indexed-heap.ts";
import type { CostModel, JobClass } from "#control-plane/core/scheduler/job-class.ts";
import { JobLine } from "#control-plane/core/scheduler/job-line.ts";
import { place } from "#control-plane/core/scheduler/placement.ts";
import { Reservations } from "#control-plane/core/scheduler/reservation.ts";
import { gangSlack } from "#control-plane/core/scheduler/limits.ts";
import { invariant } from "#protocol/invariant.ts";

/** Wider gangs, as the scheduler makes them, cost baselines more than they gain: they do not look for warm devices. */
const GANG_LIMITS = { slackMax: 0.5, fullBacklogMs: 300_000 };

export interface BaselineAccount {
  readonly id: string;
  readonly terms: TierTerms;
  /** Whatever the order keeps about it. */
  key: number;
  running: number;
  eligible: boolean;
  waiting: number;
  /** Fair charge of its waiting jobs, and how much of it its cap would let run now. */
  backlogMs: number;
  runnableMs: number;
  /** By kind of job: class and steps. */
  readonly lines: Map<string, JobLine>;
}

export interface Order {
  readonly name: string;
  /** `stop`: nothing overtakes the head. `reserve`: EASY, others may if they do not delay it. `skip`: whoever fits goes. */
  readonly blocked: "stop" | "reserve" | "skip";
  /** Least key first; ties by account id. */
  readonly keyOf: (account: BaselineAccount, head: QueuedJob) => number;
  /** The account may run jobs again: it was idle, or stood at its cap. */
  readonly joins?: (account: BaselineAccount) => void;
  readonly served?: (account: BaselineAccount, job: QueuedJob) => void;
}

export class Baseline implements Policy {
  readonly name: string;
  readonly #order: Order;
  readonly #cost: CostModel;
  readonly #cluster = new Cluster();
  readonly #classes = new Map<string, JobClass>();
  readonly #fragmentation = new Fragmentation(this.#classes);
  readonly #tiers = new Map<string, TierTerms>();
  readonly #accounts = new Map<string, BaselineAccount>();
  readonly #waiting = new Map<string, QueuedJob>();
  readonly #runningFor = new Map<string, BaselineAccount>();
  /** Per kind of job, the accounts that may run one now. */
  readonly #heaps = new Map<string, IndexedHeap>();
  #runnableMs = 0;

  constructor(order: Order, cost: CostModel) {
    this.name = order.name;
    this.#order = order;
    this.#cost = cost;
  }

  apply(event: SchedulerEvent): void {
    switch (event.t) {
      case "tier":
        this.#tiers.set(event.terms.tier, event.terms);
        return;
      case "class":
        this.#classes.set(event.class.id, event.class);
        return this.#fragmentation.forget();
      case "account":
        return this.#addAccount(event.account, event.tier);
      case "runner_up":
        return this.#cluster.up(event.runner);
      case "runner_down":
        return this.#cluster.down(event.runner);
      case "queued":
        this.#fragmentation.see(event.job.class);
        return this.#add(event.job);
      case "withdrawn":
        return this.#withdraw(event.job);
      case "ended":
        return this.#release(event.job);
      case "requeued":
        this.#release(event.job.id);
        return this.#add(event.job);
      // Rebuilds, refusals and new limits do not happen in the simulator, and no baseline looks at progress.
      case "limits":
      case "running":
      case "progress":
      case "tier_clock":
      case "committed":
      case "refused":
        return;
      default:
        return event satisfies never;
    }
  }

  decide(nowMs: number, limit: number): readonly Place[] {
    const places: Place[] = [];
    const blocked = new Set<string>();
    const reservations = new Reservations();
    while (places.length < limit && this.#cluster.freeCount > 0) {
      const head = this.#next(blocked);
      if (head === null) break;
      const found = this.#fit(head, reservations, nowMs);
      if (found !== null) {
        this.#take(found, nowMs);
        places.push(found);
        continue;
      }
      if (this.#order.blocked === "stop") break;
      if (this.#order.blocked === "reserve" && blocked.size === 0) {
        reservations.reserve(this.#cluster, this.#cost, head, this.#classOf(head), nowMs);
      }
      blocked.add(kindOf(head));
    }
    return places;
  }

  nextWakeMs(): null {
    return null;
  }

  quote(): null {
    return null;
  }

  /** The head of the account with the least key, over the kinds of job that are not blocked. */
  #next(blocked: ReadonlySet<string>): QueuedJob | null {
    let best: QueuedJob | null = null;
    let bestKey = Infinity;
    for (const [kind, heap] of this.#heaps) {
      const root = heap.peek();
      if (root === null || root.key > bestKey || blocked.has(kind)) continue;
      const head = this.#account(root.id).lines.get(kind)?.head() ?? null;
      if (head === null) continue;
      const isTie = best !== null && root.key === bestKey;
      if (
        best !== null &&
        isTie &&
        (best.account < head.account || (best.account === head.account && best.seq < head.seq))
      )
        continue;
      [best, bestKey] = [head, root.key];
    }
    return best;
  }

  #fit(job: QueuedJob, reservations: Reservations, nowMs: number): Place | null {
    return place(this.#cluster, this.#cost, {
      job,
      class: this.#classOf(job),
      nowMs,
      // The scheduler's own rule for the width of gangs, so that no policy is ahead by it.
      slack: gangSlack(GANG_LIMITS, this.#runnableMs, this.#cluster.deviceCount),
      fragmentation: this.#fragmentation,
      allows: (runner, use) => reservations.allows(runner, job.id, use, nowMs),
    });
  }

  #take(found: Place, nowMs: number): void {
    const { job } = found;
    const account = this.#account(job.account);
    this.#cluster.occupy(found, nowMs);
    this.#remove(job);
    account.running++;
    this.#runningFor.set(job.id, account);
    this.#order.served?.(account, job);
    this.#refresh(account);
  }

  #release(job: string): void {
    const account = this.#runningFor.get(job);
    invariant(account !== undefined, "only a running job ends");
    this.#runningFor.delete(job);
    this.#cluster.vacate(job);
    account.running--;
    this.#refresh(account);
  }

  #add(job: QueuedJob): void {
    const account = this.#account(job.account);
    this.#waiting.set(job.id, job);
    account.waiting++;
    account.backlogMs += remainingChargeMs(this.#cost, job);
    account.lines.getOrInsertComputed(kindOf(job), () => new JobLine()).add(job);
    this.#refresh(account);
  }

  #withdraw(id: string): void {
    const job = this.#waiting.get(id);
    if (job === undefined) return;
    this.#remove(job);
    this.#refresh(this.#account(job.account));
  }

  #remove(job: QueuedJob): void {
    this.#waiting.delete(job.id);
    const account = this.#account(job.account);
    account.waiting--;
    account.backlogMs -= remainingChargeMs(this.#cost, job);
    const { lines } = account;
    const kind = kindOf(job);
    lines.get(kind)?.remove(job);
    if (lines.get(kind)?.size !== 0) return;
    lines.delete(kind);
    this.#heaps.get(kind)?.remove(job.account);
  }

  #refresh(account: BaselineAccount): void {
    const headroom = Math.max(0, account.terms.accountRunningMax - account.running);
    const runnableMs = account.backlogMs * Math.min(1, headroom / Math.max(1, account.waiting));
    this.#runnableMs += runnableMs - account.runnableMs;
    account.runnableMs = runnableMs;
    const eligible = account.lines.size > 0 && account.running < account.terms.accountRunningMax;
    if (eligible && !account.eligible) this.#order.joins?.(account);
    account.eligible = eligible;
    for (const [kind, line] of account.lines) {
      const heap = this.#heaps.getOrInsertComputed(kind, () => new IndexedHeap());
      const head = line.head();
      if (eligible && head !== null) heap.set(account.id, this.#order.keyOf(account, head));
      else heap.remove(account.id);
    }
  }

  #addAccount(id: string, tier: string): void {
    const terms = this.#tiers.get(tier);
    invariant(terms !== undefined, "an account's tier is known before it");
    this.#accounts.set(id, {
      id,
      terms,
      key: 0,
      running: 0,
      eligible: false,
      waiting: 0,
      backlogMs: 0,
      runnableMs: 0,
      lines: new Map(),
    });
  }

  #account(id: string): BaselineAccount {
    const account = this.#accounts.get(id);
    invariant(account !== undefined, "an account is known before its jobs");
    return account;
  }

  #classOf(job: QueuedJob): JobClass {
    const jobClass = this.#classes.get(job.class);
    invariant(jobClass !== undefined, "a class is known before its jobs");
    return jobClass;
  }
}

function kindOf(job: QueuedJob): string {
  return `${job.class} ${job.steps - job.stepsDone}`;
}
