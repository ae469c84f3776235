/**
 * Leases that are over here: refused, told to be stale, run out, or ended. A frame may come twice or late, so an assign
 * of one of them, or of an older lease of its job, is never run.
 */
import type { LeaseRef } from "#protocol/runner.ts";

/** The newest lease that is over of each job, the latest job last. */
export type Spent = readonly LeaseRef[];

/** A frame that comes after so many other jobs ended is no longer told from a new one; the control plane's fence is. */
export const SPENT_JOBS_MAX = 256;

export function isSpent(spent: Spent, { job, epoch }: LeaseRef): boolean {
  return spent.some((one) => one.job === job && one.epoch >= epoch);
}

export function spend(spent: Spent, { job, epoch }: LeaseRef): Spent {
  const known = spent.find((one) => one.job === job);
  const newest = { job, epoch: Math.max(epoch, known?.epoch ?? 0) };
  return [...spent.filter((one) => one !== known), newest].slice(-SPENT_JOBS_MAX);
}
