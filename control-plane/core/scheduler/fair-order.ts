/** A dry run of the fair order, for positions and ETAs: who would be served, one after the other, were all caps away. */
import { remainingChargeMs } from "./event.ts";
import type { QueuedJob } from "./event.ts";
import { shareOf, TAG_UNITS } from "./fair-state.ts";
import type { Account, Tier } from "./fair-state.ts";
import { IndexedHeap } from "./indexed-heap.ts";
import type { CostModel } from "./job-class.ts";
import { before } from "./job-line.ts";

interface Lane {
  readonly tier: Tier;
  tag: number;
  readonly accounts: IndexedHeap;
}

/** The first `limit` of the jobs that wait; tags are copied, nothing is changed. */
export function fairOrder(accounts: Iterable<Account>, cost: CostModel, limit: number): readonly QueuedJob[] {
  const waiting = new Map<string, Account>();
  const lanes = new Map<Tier, Lane>();
  for (const account of accounts) {
    if (account.waiting.size === 0) continue;
    const { id, tier, tag } = account;
    const lane = lanes.getOrInsertComputed(tier, () => ({ tier, tag: tier.tag, accounts: new IndexedHeap() }));
    lane.accounts.set(id, Math.max(tag, tier.virtual));
    waiting.set(id, account);
  }
  // An account's jobs are sorted once it is reached, the next one last: most are never reached.
  const queues = new Map<string, QueuedJob[]>();
  const queueOf = (id: string) =>
    queues.getOrInsertComputed(id, () =>
      [...(waiting.get(id)?.waiting.values() ?? [])].sort((a, b) => (before(a, b) ? 1 : -1)),
    );
  const order: QueuedJob[] = [];
  while (order.length < limit) {
    const lane = firstOf(lanes.values());
    const account = lane?.accounts.peek() ?? null;
    const queue = account === null ? [] : queueOf(account.id);
    const job = queue.pop();
    if (lane === null || account === null || job === undefined) break;
    order.push(job);
    const units = remainingChargeMs(cost, job) * TAG_UNITS;
    lane.tag += Math.ceil(units / shareOf(lane.tier));
    if (queue.length === 0) lane.accounts.remove(account.id);
    else lane.accounts.set(account.id, account.key + Math.ceil(units / lane.tier.terms.weight));
  }
  return order;
}

function firstOf(lanes: Iterable<Lane>): Lane | null {
  let first: Lane | null = null;
  for (const lane of lanes) {
    if (lane.accounts.size === 0) continue;
    const earlier =
      first === null ||
      lane.tag < first.tag ||
      (lane.tag === first.tag && lane.tier.terms.tier < first.tier.terms.tier);
    if (earlier) first = lane;
  }
  return first;
}
