/**
 * Who may run together with a job that is about to be placed: waiting jobs of its class, weights and remaining steps, in
 * fair order, as if each were charged like the first. Caps hold as for any dispatch; nothing is changed here.
 */
import type { QueuedJob } from "./event.ts";
import type { Account, Tier } from "./fair-state.ts";
import { IndexedHeap } from "./indexed-heap.ts";

/** Accounts of a tier that are looked at; those behind them are not asked whether they have such a job. */
const LOOKS_MAX = 64;

interface Candidate {
  readonly account: Account;
  readonly jobs: readonly QueuedJob[];
  next: number;
}

/** `tiers` in fair order; `unitsOf` is the charge of one such job in tag units of the tier's accounts. */
export function batchMates(
  tiers: readonly Tier[],
  accountOf: (id: string) => Account,
  unitsOf: (tier: Tier) => number,
  first: QueuedJob,
  limit: number,
): readonly QueuedJob[] {
  const mates: QueuedJob[] = [];
  for (const tier of tiers) {
    const heap = tier.heaps.get(first.class);
    if (heap === undefined) continue;
    const order = new IndexedHeap();
    const candidates = new Map<string, Candidate>();
    for (const { id, key } of heap.ascending().take(LOOKS_MAX)) {
      const account = accountOf(id);
      const isOwner = id === first.account;
      const jobs = alike(account, first, limit, tier.terms.accountRunningMax - account.running - Number(isOwner));
      if (jobs.length === 0) continue;
      candidates.set(id, { account, jobs, next: 0 });
      order.set(id, isOwner ? key + unitsOf(tier) : key);
    }
    const isFirstsTier = accountOf(first.account).tier === tier;
    let room = tier.terms.tierRunningMax - tier.running - Number(isFirstsTier);
    for (let root = order.peek(); root !== null && room > 0 && mates.length < limit; root = order.peek()) {
      const candidate = candidates.get(root.id);
      const job = candidate?.jobs[candidate.next];
      if (candidate === undefined || job === undefined) {
        order.remove(root.id);
        continue;
      }
      candidate.next++;
      mates.push(job);
      room--;
      order.set(root.id, root.key + unitsOf(tier));
    }
  }
  return mates;
}

/** The jobs at the head of the account's line that could run with `first`, itself left out; at most as many as the cap allows. */
function alike(account: Account, first: QueuedJob, limit: number, headroom: number): readonly QueuedJob[] {
  const found: QueuedJob[] = [];
  for (const job of account.lines.get(first.class) ?? []) {
    if (job.id === first.id) continue;
    const same = job.weights === first.weights && job.steps - job.stepsDone === first.steps - first.stepsDone;
    if (!same || found.length >= Math.min(limit, headroom)) break;
    found.push(job);
  }
  return found;
}
