/** The records of the fair order: tiers and accounts with their tags. Written by `fair-queue.ts` only. */
import type { QueuedJob, TierTerms } from "./event.ts";
import type { IndexedHeap } from "./indexed-heap.ts";
import type { JobLine } from "./job-line.ts";

/** One GPU-millisecond at weight 1, in tag units. */
export const TAG_UNITS = 1_000;

/** Where somebody stands in virtual time. */
export interface Claim {
  tag: number;
  /** Where it would stand without what was charged before it last came back: as if it had come with nothing running. */
  floor: number;
  /** How often it came back. */
  comebacks: number;
}

export interface Tier extends Claim {
  terms: TierTerms;
  /** Start tag of the account dispatched last. */
  virtual: number;
  running: number;
  /** Sum of the weights of accounts with jobs, waiting or running. */
  activeWeight: number;
  readonly heaps: Map<string, IndexedHeap>;
  /** Accounts that are in some heap. */
  eligible: number;
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
  readonly lines: Map<string, JobLine>;
}

/** What the tier gets of the whole: the sum of its active accounts' weights, within its bounds. */
export function shareOf({ terms, activeWeight }: Tier): number {
  return Math.min(terms.shareMax, Math.max(terms.shareMin, activeWeight));
}

export function newClaim(tag: number): Claim {
  return { tag, floor: tag, comebacks: 0 };
}

/** It comes back at this virtual time: what it did not use until now is gone. */
export function comeBack(claim: Claim, virtual: number): void {
  claim.tag = Math.max(claim.tag, virtual);
  claim.floor = virtual;
  claim.comebacks++;
}

export function charge(claim: Claim, units: number): void {
  claim.tag += units;
  claim.floor += units;
}

/**
 * Gives back what was charged at that comeback. An older charge was forgotten as far as virtual time has passed it: given
 * back in full, it would be credit for the time away.
 */
export function giveBack(claim: Claim, units: number, comebacks: number): void {
  if (comebacks !== claim.comebacks) {
    claim.tag = Math.max(claim.floor, claim.tag - units);
    return;
  }
  claim.tag -= units;
  claim.floor -= units;
}
