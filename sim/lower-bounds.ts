/**
 * What no scheduler can beat, for rigid and moldable gangs alike. The first two know nothing of account caps and are the
 * ones policies are measured by; the capped ones say how much of the distance to them the caps alone make inevitable.
 */
import { BYTES_PER_GB } from "#control-plane/core/scheduler/cost-gpu.ts";
import type { TierTerms } from "#control-plane/core/scheduler/event.ts";
import { batchStretch } from "#control-plane/core/scheduler/job-class.ts";
import type { Catalog } from "./catalog.ts";
import type { SimRunner } from "./cluster-file.ts";
import { round } from "./metrics/percentile.ts";
import { MinHeap } from "./min-heap.ts";
import type { SimJob } from "./sim-job.ts";

export interface LowerBounds {
  readonly makespan_s: number;
  readonly mean_flow_s: number;
  readonly capped_makespan_s: number;
  readonly capped_mean_flow_s: number;
}

interface Piece {
  readonly account: string;
  readonly cap: number;
  readonly releaseMs: number;
  /** At its fastest, and the least GPU time, over all gangs and GPUs of the cluster. */
  readonly fastestMs: number;
  readonly workMs: number;
}

interface Ground {
  readonly catalog: Catalog;
  readonly cluster: readonly SimRunner[];
  readonly tiers: readonly TierTerms[];
}

export function lowerBounds(jobs: readonly SimJob[], ground: Ground): LowerBounds {
  const { cluster } = ground;
  const pieces = piecesOf(jobs, ground);
  if (pieces.length === 0) return { makespan_s: 0, mean_flow_s: 0, capped_makespan_s: 0, capped_mean_flow_s: 0 };
  // Every slot counts as a device: as many jobs may run at once, each as fast as alone.
  const machines = cluster.reduce((sum, { devices, slots }) => sum + devices * slots, 0);
  const mean = pieces.reduce((sum, { fastestMs }) => sum + fastestMs, 0) / pieces.length;
  const wholeMs = makespan(pieces, machines);
  const flowMs = Math.max(mean, fluidSrpt(pieces, machines) / pieces.length);
  const accounts = [...Map.groupBy(pieces, ({ account }) => account).values()].map((own) => capped(own));
  const cappedFlowMs = accounts.reduce((sum, account) => sum + account.flowMs, 0) / pieces.length;
  return {
    makespan_s: round(wholeMs / 1_000),
    mean_flow_s: round(flowMs / 1_000),
    capped_makespan_s: round(Math.max(wholeMs, ...accounts.map((account) => account.endMs)) / 1_000),
    capped_mean_flow_s: round(Math.max(flowMs, cappedFlowMs) / 1_000),
  };
}

/** An account alone in the world: a machine of as many devices as its cap allows jobs, every job at its fastest. */
function capped(own: readonly Piece[]): { readonly endMs: number; readonly flowMs: number } {
  const cap = own[0]?.cap ?? 1;
  const fastest = own.map((piece) => ({ ...piece, workMs: piece.fastestMs }));
  const leastMs = fastest.reduce((sum, { fastestMs }) => sum + fastestMs, 0);
  return { endMs: makespan(fastest, cap), flowMs: Math.max(leastMs, fluidSrpt(fastest, cap)) };
}

/** For every release r: what is released from r on cannot be done before r + its work / machines. */
function makespan(pieces: readonly Piece[], machines: number): number {
  let bound = 0;
  let workMs = 0;
  for (const piece of pieces.toReversed()) {
    workMs += piece.workMs;
    bound = Math.max(bound, piece.releaseMs + workMs / machines, piece.releaseMs + piece.fastestMs);
  }
  return bound;
}

/** Sum of flow times of shortest-remaining-first on one machine as fast as all together. */
function fluidSrpt(pieces: readonly Piece[], machines: number): number {
  const remaining = new MinHeap<{ readonly releaseMs: number }>();
  let nowMs = 0;
  let flowMs = 0;
  const workUntil = (endMs: number) => {
    for (let head = remaining.peek(); head !== null && nowMs < endMs; head = remaining.peek()) {
      remaining.pop();
      const doneMs = nowMs + head.key;
      if (doneMs <= endMs) flowMs += doneMs - head.value.releaseMs;
      else remaining.push(doneMs - endMs, head.value);
      nowMs = Math.min(doneMs, endMs);
    }
    if (endMs < Infinity) nowMs = endMs;
  };
  for (const piece of pieces) {
    workUntil(piece.releaseMs);
    remaining.push(piece.workMs / machines, piece);
  }
  workUntil(Infinity);
  return flowMs;
}

/** In order of release; jobs that no runner holds are left out. */
function piecesOf(jobs: readonly SimJob[], { catalog, cluster, tiers }: Ground): readonly Piece[] {
  const { cost, classes } = catalog;
  const caps = new Map(tiers.map(({ tier, accountRunningMax }) => [tier, accountRunningMax]));
  const shapesOf = new Map(classes.map(({ id, shapes }) => [id, shapes]));
  // The part of a job's work that is left of it in the largest batch.
  const batchShare = new Map(classes.map((c) => [c.id, Math.min(1, batchStretch(c, c.batchMax) / c.batchMax)]));
  const kinds = [
    ...new Map(cluster.map((runner) => [`${runner.gpu} ${runner.devices} ${runner.vram_gb}`, runner])).values(),
  ];
  const known = new Map<string, Pick<Piece, "fastestMs" | "workMs">>();
  const best = (classId: string, steps: number) => {
    const times = kinds.flatMap(({ gpu, devices, vram_gb: gb }) =>
      (shapesOf.get(classId) ?? [])
        .filter(({ k, vramBytes }) => k <= devices && vramBytes <= gb * BYTES_PER_GB)
        .flatMap(({ k }) => {
          const runMs = cost.runMs(classId, gpu, k, steps);
          return runMs === null ? [] : [{ runMs, workMs: runMs * k * (batchShare.get(classId) ?? 1) }];
        }),
    );
    return {
      fastestMs: Math.min(...times.map(({ runMs }) => runMs)),
      workMs: Math.min(...times.map(({ workMs }) => workMs)),
    };
  };
  return jobs.flatMap((job) => {
    const { fastestMs, workMs } = known.getOrInsertComputed(`${job.class} ${job.steps}`, () =>
      best(job.class, job.steps),
    );
    if (!Number.isFinite(fastestMs)) return [];
    const cap = caps.get(job.tier) ?? 1;
    return [
      {
        account: job.account,
        cap,
        releaseMs: job.submittedAtMs,
        fastestMs: fastestMs * job.workFactor,
        workMs: workMs * job.workFactor,
      },
    ];
  });
}
