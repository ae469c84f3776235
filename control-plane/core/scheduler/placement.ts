/**
 * Where a job would run now, and with how many devices: the one placement code of the scheduler and of every baseline.
 *
 * Among the gangs and slots that fit, those are allowed whose GPU time (cold start included) is within `slack` of the
 * cheapest; of these the fastest wins. So gangs are wide when the cluster is idle and narrow when it is loaded. Ties: the
 * slot that fragments its device least, then the tightest fit, then the runner's id.
 */
import { freeWhole, serves } from "./cluster.ts";
import type { Cluster, RunnerState } from "./cluster.ts";
import { isFree, isWarm, openSlot, spare, takesSlot } from "./device.ts";
import type { DeviceState } from "./device.ts";
import type { Place, QueuedJob } from "./event.ts";
import type { Fragmentation } from "./fragmentation.ts";
import type { CostModel, JobClass, Shape } from "./job-class.ts";
import type { Use } from "./reservation.ts";

export interface PlacementQuestion {
  readonly job: QueuedJob;
  readonly class: JobClass;
  readonly nowMs: number;
  /** Share of GPU time that may be wasted for speed; 0 takes the cheapest gang. */
  readonly slack: number;
  readonly fragmentation: Fragmentation;
  /** Whether devices of this runner may be used so by the job (reservations say no). */
  readonly allows?: (runner: RunnerState, use: Use) => boolean;
}

interface Spot {
  readonly runner: RunnerState;
  readonly shape: Shape;
  readonly coldMs: number;
  readonly wallMs: number;
  readonly gpuMs: number;
  /** A slot of a shared device; null takes devices whole. */
  readonly seat: { readonly device: DeviceState; readonly slot: number } | null;
  /** Growth of the unusable share. */
  readonly growth: number;
  /** Devices left free on the runner, or the part of the shared device's memory that is left. */
  readonly left: number;
}

export function place(cluster: Cluster, cost: CostModel, question: PlacementQuestion): Place | null {
  const spots = spotsFor(cluster, cost, question);
  const elsewhere = spots.filter((spot) => spot.runner.terms.id !== question.job.avoid);
  const best = choose(elsewhere.length > 0 ? elsewhere : spots, question.slack);
  if (best === null) return null;
  const { runner, shape, seat } = best;
  const devices = seat === null ? warmFirst(runner, question.job.weights, shape).slice(0, shape.k) : [seat.device];
  return {
    t: "place",
    job: question.job,
    runner: runner.terms.id,
    devices: devices.map((device) => device.id),
    k: shape.k,
    slot: seat?.slot ?? null,
    batch: null,
    vramBytes: shape.vramBytes,
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
          serves(runner, jobClass.model, shape) && cost.runMs(jobClass.id, runner.terms.gpu, shape.k, steps) !== null,
      ),
  );
}

/**
 * Free devices that the shape may take whole: those that hold `weights` first, then those that hold nothing, then the ones
 * unused for longest; the small ones before the large.
 */
export function warmFirst(runner: RunnerState, weights: string, { k, vramBytes }: Shape): readonly DeviceState[] {
  const free = runner.devices
    .filter((device) => isFree(device) && vramBytes <= device.vramBytes && !takesSlot(device, k))
    .toSorted(
      (a, b) =>
        a.vramBytes - b.vramBytes || Number(a.weights !== null) - Number(b.weights !== null) || a.usedAtMs - b.usedAtMs,
    );
  return [
    ...free.filter((device) => device.weights === weights),
    ...free.filter((device) => device.weights !== weights),
  ];
}

function spotsFor(cluster: Cluster, cost: CostModel, question: PlacementQuestion): readonly Spot[] {
  const spots: Spot[] = [];
  const { job, class: jobClass, nowMs, allows } = question;
  const steps = job.steps - job.stepsDone;
  for (const runner of cluster.runners) {
    if (!runner.up || runner.free + runner.open === 0) continue;
    let warm = -1;
    for (const shape of jobClass.shapes) {
      const free = freeWhole(runner, shape);
      const seats = shape.k === 1 && !runner.plain;
      if ((shape.k > free && !seats) || !serves(runner, jobClass.model, shape)) continue;
      const runMs = cost.runMs(jobClass.id, runner.terms.gpu, shape.k, steps);
      if (runMs === null) continue;
      if (seats) spots.push(...seatsOn(runner, cost, question, shape, runMs));
      if (shape.k > free) continue;
      if (warm < 0 || !runner.plain) warm = warmCount(runner, job.weights, shape);
      const coldMs = warm >= shape.k ? 0 : cost.loadMs(jobClass.id, runner.terms.gpu);
      const wallMs = runMs + coldMs;
      if (allows !== undefined && !allows(runner, { k: shape.k, endMs: nowMs + wallMs, seat: null })) continue;
      const left = runner.free - shape.k;
      spots.push({ runner, shape, coldMs, wallMs, gpuMs: wallMs * shape.k, seat: null, growth: 0, left });
    }
  }
  return spots;
}

/** The best slot of the runner where the weights are warm, and the best where they are not. */
function seatsOn(
  runner: RunnerState,
  cost: CostModel,
  { job, class: jobClass, nowMs, fragmentation, allows }: PlacementQuestion,
  shape: Shape,
  runMs: number,
): readonly Spot[] {
  let [warmest, coldest]: [Spot | null, Spot | null] = [null, null];
  for (const device of runner.devices) {
    const slot = takesSlot(device, shape.k) ? openSlot(device, shape.vramBytes) : null;
    if (slot === null) continue;
    const warm = isWarm(device, job.weights);
    const coldMs = warm ? 0 : cost.loadMs(jobClass.id, runner.terms.gpu);
    const wallMs = runMs + coldMs;
    const seat = { device, slot };
    const use = { k: 1, endMs: nowMs + wallMs, seat: { device, vramBytes: shape.vramBytes } };
    if (allows !== undefined && !allows(runner, use)) continue;
    const growth = fragmentation.growth(device, shape.vramBytes);
    const left = (spare(device).bytes - shape.vramBytes) / device.vramBytes;
    const spot = { runner, shape, coldMs, wallMs, gpuMs: wallMs, seat, growth, left };
    if (warm && (warmest === null || better(spot, warmest))) warmest = spot;
    if (!warm && (coldest === null || better(spot, coldest))) coldest = spot;
  }
  return [warmest, coldest].filter((spot) => spot !== null);
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
  if (a.growth !== b.growth) return a.growth < b.growth;
  if (a.left !== b.left) return a.left < b.left;
  return a.runner.terms.id < b.runner.terms.id;
}

function warmCount(runner: RunnerState, weights: string, { k, vramBytes }: Shape): number {
  let warm = 0;
  for (const device of runner.devices) {
    const fits = runner.plain || (vramBytes <= device.vramBytes && !takesSlot(device, k));
    if (fits && isFree(device) && device.weights === weights) warm++;
  }
  return warm;
}
