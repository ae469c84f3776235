/** A dry run of the fair order, for positions and ETAs: who would be served, one after the other, were all caps away. */
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

/** The first `limit` of the waiting jobs; tags are copied, nothing is changed. */
export function fairOrder(
  waiting: Iterable<QueuedJob>,
  accountOf: (id: string) => Account,
  cost: CostModel,
  limit: number,
): readonly QueuedJob[] {
  // Each account's jobs, the next one last.
  const queues = Map.groupBy(waiting, (job) => job.account);
  const lanes = new Map<Tier, Lane>();
  for (const [id, jobs] of queues) {
    jobs.sort((a, b) => (before(a, b) ? 1 : -1));
    const { tier, tag } = accountOf(id);
    const lane = lanes.getOrInsertComputed(tier, () => ({ tier, tag: tier.tag, accounts: new IndexedHeap() }));
    lane.accounts.set(id, Math.max(tag, tier.virtual));
  }
  const order: QueuedJob[] = [];
  while (order.length < limit) {
    const lane = firstOf(lanes.values());
    const account = lane?.accounts.peek() ?? null;
    const job = account === null ? undefined : queues.get(account.id)?.pop();
    if (lane === null || account === null || job === undefined) break;
    order.push(job);
    const units = cost.chargeMs(job.class, Math.max(1, job.steps - job.stepsDone)) * TAG_UNITS;
    lane.tag += Math.ceil(units / shareOf(lane.tier));
    if (queues.get(account.id)?.length === 0) lane.accounts.remove(account.id);
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
