/**
 * Why does a job wait, and how long still? A dry run of the fair order.
 *
 * Position is the number of jobs that fairness serves first. The ETA is fluid: GPU time ahead over the devices that are up;
 * p90 is a wider reading of p50. Jobs beyond the dry run get no answer rather than a guess.
 */
import { serves } from "./cluster.ts";
import type { Cluster, RunnerState } from "./cluster.ts";
import { takesSlot } from "./device.ts";
import { remainingChargeMs } from "./event.ts";
import type { QueuedJob } from "./event.ts";
import type { FairQueue } from "./fair-queue.ts";
import type { CostModel, JobClass, Shape } from "./job-class.ts";
import { couldRun } from "./placement.ts";

export const DRY_RUN_MAX = 2_000;
const P90_OVER_P50 = 1.5;

export type WaitReason = "account_concurrency" | "fair_share" | "no_runner" | "capacity" | "backoff";

export interface Explained {
  readonly position: number;
  /** Null without a device that is up. */
  readonly eta: {
    readonly startP50Ms: number;
    readonly startP90Ms: number;
    readonly finishP50Ms: number;
    readonly finishP90Ms: number;
  } | null;
  readonly blockedBy: WaitReason;
}

interface View {
  readonly queue: FairQueue;
  readonly cluster: Cluster;
  readonly cost: CostModel;
  readonly classes: ReadonlyMap<string, JobClass>;
}

export function explain({ queue, cluster, cost, classes }: View, nowMs: number): ReadonlyMap<string, Explained> {
  const devices = cluster.deviceCount;
  const order = queue.order(DRY_RUN_MAX);
  const accounts = new Set(order.map((job) => job.account)).size;
  // The same for every job of a class: looked up among all runners once.
  const runnable = new Map<string, boolean>();
  const runners = new Map<string, RunnerState | undefined>();
  const explained = new Map<string, Explained>();
  let aheadMs = runningMs(cluster, nowMs);
  order.forEach((job, position) => {
    const runMs = gpuMsOf(job);
    explained.set(job.id, {
      position,
      eta: devices === 0 ? null : etaOf(aheadMs / devices, runMs),
      blockedBy: reason(job),
    });
    aheadMs += runMs;
  });
  return explained;

  /** What it takes on the first runner that can do it, else what it is charged. */
  function gpuMsOf(job: QueuedJob): number {
    const steps = Math.max(1, job.steps - job.stepsDone);
    const jobClass = classes.get(job.class);
    const shape = jobClass?.shapes[0];
    const runner = runners.getOrInsertComputed(job.class, () =>
      cluster.runners.find(
        (candidate) =>
          candidate.up && jobClass !== undefined && shape !== undefined && serves(candidate, jobClass.model, shape),
      ),
    );
    const runMs =
      runner === undefined || shape === undefined ? null : cost.runMs(job.class, runner.terms.gpu, shape.k, steps);
    if (runner === undefined || runMs === null || shape === undefined) return remainingChargeMs(cost, job);
    return runMs * devicesFor(runner, shape);
  }

  function reason(job: QueuedJob): WaitReason {
    if (job.notBeforeMs > nowMs) return "backoff";
    const jobClass = classes.get(job.class);
    if (
      jobClass === undefined ||
      !runnable.getOrInsertComputed(job.class, () => couldRun(cluster, cost, jobClass, job.steps))
    )
      return "no_runner";
    if (queue.atCap(job)) return "account_concurrency";
    return accounts > 1 ? "fair_share" : "capacity";
  }
}

/** Devices that a job of the shape takes there; of one with slots, its part. */
function devicesFor(runner: RunnerState, { k, vramBytes }: Shape): number {
  const shared = runner.plain ? undefined : runner.devices.find((device) => vramBytes <= device.vramBytes);
  return shared !== undefined && takesSlot(shared, k) ? 1 / shared.slots : k;
}

/** GPU time that the running jobs still need. */
function runningMs(cluster: Cluster, nowMs: number): number {
  let left = 0;
  for (const runner of cluster.runners) {
    for (const { slots, tenancies } of runner.devices) {
      for (const { slot, freeAtMs } of tenancies) left += Math.max(0, freeAtMs - nowMs) / (slot === null ? 1 : slots);
    }
  }
  return left;
}

function etaOf(waitMs: number, runMs: number): NonNullable<Explained["eta"]> {
  return {
    startP50Ms: waitMs,
    startP90Ms: waitMs * P90_OVER_P50,
    finishP50Ms: waitMs + runMs,
    finishP90Ms: (waitMs + runMs) * P90_OVER_P50,
  };
}
