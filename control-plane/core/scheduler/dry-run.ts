/**
 * Plays the schedule forward without changing it: devices become free when their jobs are expected to end, accounts come
 * back from their caps, jobs from their backoff, and in fair order whatever fits starts.
 *
 * It ends after `limit` dispatches, or when nobody waits, or when nothing more can start. Nobody new arrives in it.
 */
import type { Cluster } from "./cluster.ts";
import { DryDevices } from "./dry-devices.ts";
import { DryQueue } from "./dry-queue.ts";
import type { QueuedJob } from "./event.ts";
import type { FairView } from "./fair-state.ts";
import type { CostModel, JobClass } from "./job-class.ts";
import { TimeHeap } from "./time-heap.ts";

/** A job that overran its estimate is expected to end this much later, again and again. */
const OVERRUN_MS = 1_000;

export interface DryWorld {
  readonly view: FairView;
  readonly cluster: Cluster;
  readonly cost: CostModel;
  readonly classes: ReadonlyMap<string, JobClass>;
  readonly running: Iterable<{ readonly job: QueuedJob; readonly runner: string; readonly k: number }>;
  readonly slack: number;
}

export interface DryStart {
  readonly position: number;
  readonly startMs: number;
  readonly finishMs: number;
}

/** Where a tier's virtual time stood at a moment of the dry run. */
export interface VirtualMoment {
  readonly atMs: number;
  readonly virtual: number;
}

export interface DryRun {
  readonly atMs: number;
  /** Until when it played. */
  readonly untilMs: number;
  readonly starts: ReadonlyMap<string, DryStart>;
  readonly queue: DryQueue;
  /** Per tier, one entry a dispatch. */
  readonly virtualOf: ReadonlyMap<string, readonly VirtualMoment[]>;
  /** Per account that runs something now or in the dry run, when each of that ends. */
  readonly endsOf: ReadonlyMap<string, readonly number[]>;
}

interface End {
  readonly t: "end";
  readonly job: QueuedJob;
  readonly runner: string;
  readonly k: number;
}
type Moment = End | { readonly t: "woke"; readonly job: QueuedJob };

export function dryRun(world: DryWorld, nowMs: number, limit: number): DryRun {
  const queue = new DryQueue(world.view, world.cost);
  const devices = new DryDevices(world.cluster, world.cost, world.classes, world.slack);
  const moments = new TimeHeap<Moment>();
  const starts = new Map<string, DryStart>();
  const endsOf = new Map<string, number[]>();
  const virtualOf = new Map([...queue.tiers].map(([name, { virtual }]) => [name, [{ atMs: nowMs, virtual }]]));
  let atMs = nowMs;
  for (const [endMs, moment] of endsAhead(world, nowMs)) willEnd(endMs, moment);
  for (const [wakeMs, job] of wakesAhead(world)) moments.push(wakeMs, { t: "woke", job });
  for (;;) {
    startAll();
    const next = starts.size < limit ? moments.peekMs() : null;
    if (next === null) break;
    atMs = Math.max(atMs, next);
    for (let due = moments.peekMs(); due !== null && due <= atMs; due = moments.peekMs()) {
      const moment = moments.pop();
      if (moment !== null) happen(moment);
    }
  }
  return { atMs: nowMs, untilMs: atMs, starts, queue, virtualOf, endsOf };

  function startAll(): void {
    const blocked = new Set<string>();
    while (starts.size < limit && devices.free > 0) {
      let spot: ReturnType<DryDevices["spotFor"]> = null;
      const job = queue.next(blocked, (candidate) => {
        spot = devices.spotFor(candidate);
        return spot !== null;
      });
      // Assigned in the callback, which the compiler does not follow.
      const found = spot as ReturnType<DryDevices["spotFor"]>;
      if (job === null || found === null) return;
      queue.take(job);
      devices.occupy(found, job.weights);
      const finishMs = atMs + found.wallMs;
      starts.set(job.id, { position: starts.size, startMs: atMs, finishMs });
      willEnd(finishMs, { t: "end", job, runner: found.runner.id, k: found.k });
      const tier = world.view.accounts.get(job.account)?.tier.terms.tier ?? "";
      virtualOf.get(tier)?.push({ atMs, virtual: queue.tiers.get(tier)?.virtual ?? 0 });
    }
  }

  function willEnd(endMs: number, end: End): void {
    moments.push(endMs, end);
    endsOf.getOrInsertComputed(end.job.account, () => []).push(endMs);
  }

  function happen(moment: Moment): void {
    if (moment.t === "woke") return queue.woke(moment.job);
    queue.ended(moment.job.account);
    devices.vacate(moment.runner, moment.k, moment.job.weights);
  }
}

function* endsAhead({ cluster, running }: DryWorld, nowMs: number): Generator<[number, End]> {
  const freeAtMs = new Map<string, number>();
  for (const { devices } of cluster.runners) {
    for (const device of devices) if (device.job !== null) freeAtMs.set(device.job, device.freeAtMs);
  }
  for (const { job, runner, k } of running) {
    const endMs = Math.max(freeAtMs.get(job.id) ?? nowMs, nowMs + OVERRUN_MS);
    yield [endMs, { t: "end", job, runner, k }];
  }
}

function* wakesAhead({ view }: DryWorld): Generator<[number, QueuedJob]> {
  for (const { id, key } of view.asleep) {
    const job = view.waiting.get(id);
    if (job !== undefined) yield [key, job];
  }
}
