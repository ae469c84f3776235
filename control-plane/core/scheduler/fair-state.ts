/** The records of the fair order: tiers and accounts with their tags. Written by `fair-queue.ts` only. */
import type { QueuedJob, TierTerms } from "./event.ts";
import type { Claim } from "./fair-claim.ts";
import type { IndexedHeap } from "./indexed-heap.ts";
import type { JobLine } from "./job-line.ts";

/** One GPU-millisecond at weight 1, in tag units. */
export const TAG_UNITS = 1_000;

export interface Tier extends Claim {
  terms: TierTerms;
  /** Start tag of the account dispatched last. */
  virtual: number;
  running: number;
  /** Sum of the weights of accounts with jobs, waiting or running. */
  activeWeight: number;
  /** By class, and by class and weights: the accounts that may run such a job now. */
  readonly heaps: Map<string, IndexedHeap>;
  readonly kinds: Map<string, Map<string, IndexedHeap>>;
  /** Accounts that are in some heap. */
  eligible: number;
  /** Per class, how many jobs wait and their fair charge. */
  readonly backlog: Map<string, Backlog>;
}

export interface Backlog {
  jobs: number;
  chargeMs: number;
}

export interface Account extends Claim {
  readonly id: string;
  tier: Tier;
  running: number;
  readonly waiting: Map<string, QueuedJob>;
  eligible: boolean;
  /** Fair charge of its waiting jobs, and how much of it its cap would let run now. */
  backlogMs: number;
  runnableMs: number;
  /** By class, and by class and weights. */
  readonly lines: Map<string, JobLine>;
  readonly kinds: Map<string, Map<string, JobLine>>;
}

/** The whole fair order, for whoever only looks at it. */
export interface FairView {
  readonly tiers: ReadonlyMap<string, Readonly<Tier>>;
  readonly accounts: ReadonlyMap<string, Readonly<Account>>;
  readonly waiting: ReadonlyMap<string, QueuedJob>;
  /** Jobs in backoff, by the end of it. */
  readonly asleep: IndexedHeap;
  readonly virtual: number;
}

/** What the tier gets of the whole: the sum of its active accounts' weights, within its bounds. */
export function shareOf({ terms, activeWeight }: Pick<Tier, "terms" | "activeWeight">): number {
  return Math.min(terms.shareMax, Math.max(terms.shareMin, activeWeight));
}
