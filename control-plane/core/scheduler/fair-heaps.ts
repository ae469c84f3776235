/**
 * Who of a tier may run what now: heaps of accounts by class, and by class and weights, keyed by tag. Each account has a
 * line of jobs for every heap that it can be in.
 *
 * An account is in all heaps of its lines or in none. There are many kinds of weights and most come and go, so their empty
 * lines and heaps are not kept.
 */
import type { QueuedJob } from "./event.ts";
import type { Account, Tier } from "./fair-state.ts";
import { IndexedHeap } from "./indexed-heap.ts";
import { before, JobLine } from "./job-line.ts";

type Accounts = ReadonlyMap<string, Account>;

export function joinLines(account: Account, job: QueuedJob): void {
  account.lines.getOrInsertComputed(job.class, () => new JobLine()).add(job);
  const kinds = account.kinds.getOrInsertComputed(job.class, () => new Map());
  kinds.getOrInsertComputed(job.weights, () => new JobLine()).add(job);
}

export function leaveLines(account: Account, job: QueuedJob): void {
  account.lines.get(job.class)?.remove(job);
  const kinds = account.kinds.get(job.class);
  const line = kinds?.get(job.weights);
  line?.remove(job);
  if (line?.size !== 0) return;
  kinds?.delete(job.weights);
  leaveKind(account, job.class, job.weights);
}

/** Brings every heap in line with the account's lines and tag. */
export function enterHeaps(account: Account): void {
  const { id, tag, tier } = account;
  for (const [jobClass, line] of account.lines) {
    if (line.size > 0) tier.heaps.getOrInsertComputed(jobClass, () => new IndexedHeap()).set(id, tag);
    else tier.heaps.get(jobClass)?.remove(id);
  }
  for (const [jobClass, kinds] of account.kinds) {
    const heaps = tier.kinds.getOrInsertComputed(jobClass, () => new Map());
    for (const weights of kinds.keys()) heaps.getOrInsertComputed(weights, () => new IndexedHeap()).set(id, tag);
  }
}

export function leaveHeaps(account: Account): void {
  for (const jobClass of account.lines.keys()) account.tier.heaps.get(jobClass)?.remove(account.id);
  for (const [jobClass, kinds] of account.kinds) {
    for (const weights of kinds.keys()) leaveKind(account, jobClass, weights);
  }
}

/** The least tag over the classes that are not blocked; an account at the root of several gives its oldest job. */
export function headOf(tier: Tier, accounts: Accounts, blocked: ReadonlySet<string>): QueuedJob | null {
  let best: { readonly key: number; readonly id: string; readonly job: QueuedJob } | null = null;
  for (const [jobClass, heap] of tier.heaps) {
    const root = heap.peek();
    if (root === null || blocked.has(jobClass)) continue;
    if (best !== null && (root.key > best.key || (root.key === best.key && root.id > best.id))) continue;
    const job = accounts.get(root.id)?.lines.get(jobClass)?.head() ?? null;
    if (job === null) continue;
    if (best !== null && root.id === best.id && before(best.job, job)) continue;
    best = { ...root, job };
  }
  return best?.job ?? null;
}

/** The least account's job of every class that is not blocked, and of it with each of the `weights`, up to a tag. */
export function headsUntil(
  tier: Tier,
  accounts: Accounts,
  untilTag: number,
  blocked: ReadonlySet<string>,
  weights: Iterable<string>,
): readonly QueuedJob[] {
  const heads: QueuedJob[] = [];
  for (const [jobClass, heap] of tier.heaps) {
    if (blocked.has(jobClass)) continue;
    const root = heap.peek();
    // Nobody else of the class has a lesser tag.
    if (root === null || root.key > untilTag) continue;
    const head = accounts.get(root.id)?.lines.get(jobClass)?.head() ?? null;
    if (head !== null) heads.push(head);
    const kinds = tier.kinds.get(jobClass);
    for (const resident of weights) {
      const warm = kinds?.get(resident)?.peek() ?? null;
      if (warm === null || warm.key > untilTag) continue;
      const found = accounts.get(warm.id)?.kinds.get(jobClass)?.get(resident)?.head() ?? null;
      if (found !== null && found !== head) heads.push(found);
    }
  }
  return heads;
}

function leaveKind({ id, tier }: Account, jobClass: string, weights: string): void {
  const heaps = tier.kinds.get(jobClass);
  const heap = heaps?.get(weights);
  heap?.remove(id);
  if (heap?.size === 0) heaps?.delete(weights);
}
