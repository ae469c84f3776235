/**
 * Where a job would run now, and with how many devices: the one placement code of the scheduler and of every baseline.
 *
 * Among the gangs that fit, those are allowed whose GPU time (cold start included) is within `slack` of the cheapest; of
 * these the fastest wins. So gangs are wide when the cluster is idle and narrow when it is loaded. Ties: the tightest fit,
 * then the runner's id.
 */
import { serves } from "./cluster.ts";
import type { Cluster, DeviceState, RunnerState } from "./cluster.ts";
import type { Place, QueuedJob } from "./event.ts";
import type { CostModel, JobClass } from "./job-class.ts";

export interface PlacementQuestion {
  readonly job: QueuedJob;
  readonly class: JobClass;
  readonly nowMs: number;
  /** Share of GPU time that may be wasted for speed; 0 takes the cheapest gang. */
  readonly slack: number;
  /** Whether devices of this runner may be used by a job that ends at `endMs` (reservations say no). */
  readonly allows?: (runner: RunnerState, k: number, endMs: number) => boolean;
}

interface Spot {
  readonly runner: RunnerState;
  readonly k: number;
  readonly coldMs: number;
  readonly wallMs: number;
  readonly gpuMs: number;
}

export function place(cluster: Cluster, cost: CostModel, question: PlacementQuestion): Place | null {
  const spots = spotsFor(cluster, cost, question);
  const elsewhere = spots.filter((spot) => spot.runner.terms.id !== question.job.avoid);
  const best = choose(elsewhere.length > 0 ? elsewhere : spots, question.slack);
  if (best === null) return null;
  return {
    t: "place",
    job: question.job,
    runner: best.runner.terms.id,
    devices: warmFirst(best.runner, question.job.weights)
      .slice(0, best.k)
      .map((device) => device.id),
    k: best.k,
    coldMs: best.coldMs,
    estimateMs: best.wallMs,
  };
}

/** True if some runner that is up could ever hold the class. */
export function couldRun(cluster: Cluster, cost: CostModel, jobClass: JobClass, steps: number): boolean {
  return cluster.runners.some(
    (runner) =>
      runner.up &&
      jobClass.shapes.some(
        (shape) =>
          shape.k <= runner.devices.length &&
          serves(runner, jobClass.model, shape.vramBytes) &&
          cost.runMs(jobClass.id, runner.terms.gpu, shape.k, steps) !== null,
      ),
  );
}

/** Free devices: those that hold `weights` first, then those that hold nothing, then the ones unused for longest. */
export function warmFirst(runner: RunnerState, weights: string): readonly DeviceState[] {
  const free = runner.devices
    .filter((device) => device.job === null)
    .toSorted((a, b) => Number(a.weights !== null) - Number(b.weights !== null) || a.usedAtMs - b.usedAtMs);
  return [
    ...free.filter((device) => device.weights === weights),
    ...free.filter((device) => device.weights !== weights),
  ];
}

function spotsFor(
  cluster: Cluster,
  cost: CostModel,
  { job, class: jobClass, nowMs, allows }: PlacementQuestion,
): readonly Spot[] {
  const spots: Spot[] = [];
  const steps = job.steps - job.stepsDone;
  for (const runner of cluster.runners) {
    if (!runner.up || runner.free === 0) continue;
    let warm = -1;
    for (const shape of jobClass.shapes) {
      if (shape.k > runner.free || !serves(runner, jobClass.model, shape.vramBytes)) continue;
      const runMs = cost.runMs(jobClass.id, runner.terms.gpu, shape.k, steps);
      if (runMs === null) continue;
      if (warm < 0) warm = warmCount(runner, job.weights);
      const coldMs = warm >= shape.k ? 0 : cost.loadMs(jobClass.id, runner.terms.gpu);
      const wallMs = runMs + coldMs;
      if (allows !== undefined && !allows(runner, shape.k, nowMs + wallMs)) continue;
      spots.push({ runner, k: shape.k, coldMs, wallMs, gpuMs: wallMs * shape.k });
    }
  }
  return spots;
}

function choose(spots: readonly Spot[], slack: number): Spot | null {
  let cheapest = Infinity;
  for (const spot of spots) cheapest = Math.min(cheapest, spot.gpuMs);
  let best: Spot | null = null;
  for (const spot of spots) {
    if (spot.gpuMs > cheapest * (1 + slack)) continue;
    if (best === null || better(spot, best)) best = spot;
  }
  return best;
}

function better(a: Spot, b: Spot): boolean {
  if (a.wallMs !== b.wallMs) return a.wallMs < b.wallMs;
  const [leftA, leftB] = [a.runner.free - a.k, b.runner.free - b.k];
  if (leftA !== leftB) return leftA < leftB;
  return a.runner.terms.id < b.runner.terms.id;
}

function warmCount(runner: RunnerState, weights: string): number {
  let warm = 0;
  for (const device of runner.devices) if (device.job === null && device.weights === weights) warm++;
  return warm;
}
