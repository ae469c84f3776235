/**
 * The devices of a dry run: how many slots of each runner are free, and where a job would go, by the rules of `placement.ts`.
 *
 * Runners of one kind (GPU, devices, models) offer the same shapes, so a class is weighed once per kind. Slots are counted,
 * not the memory that is left on a shared device: a quote need not know which neighbour is how large.
 */
import { serves } from "./cluster.ts";
import type { Cluster, RunnerState } from "./cluster.ts";
import { spare } from "./device.ts";
import type { QueuedJob } from "./event.ts";
import type { CostModel, JobClass } from "./job-class.ts";

export interface DryRunner {
  readonly id: string;
  /** Of its kind, those with a free device. */
  readonly open: Set<DryRunner>;
  /** Slots of a device, and of all. */
  readonly slots: number;
  readonly total: number;
  /** What is resident at each free slot, the one unused for longest first. */
  readonly free: (string | null)[];
}

interface Kind {
  readonly sample: RunnerState;
  /** Runners with a free device: few, where there is something to wait for. */
  readonly open: ReadonlySet<DryRunner>;
}

interface Way {
  readonly kind: Kind;
  readonly k: number;
  readonly runMs: number;
  readonly loadMs: number;
}

export interface DrySpot {
  readonly runner: DryRunner;
  readonly k: number;
  /** Loading included. */
  readonly wallMs: number;
}

export class DryDevices {
  readonly #cost: CostModel;
  readonly #classes: ReadonlyMap<string, JobClass>;
  readonly #kinds: readonly Kind[];
  readonly #byId = new Map<string, DryRunner>();
  /** Per class, every way to run so many steps. */
  readonly #ways = new Map<string, Map<number, readonly Way[]>>();
  readonly #slack: number;
  #free = 0;

  constructor(cluster: Cluster, cost: CostModel, classes: ReadonlyMap<string, JobClass>, slack: number) {
    this.#cost = cost;
    this.#classes = classes;
    this.#slack = slack;
    const up = cluster.runners.filter((runner) => runner.up);
    const groups = Map.groupBy(up, ({ terms: { gpu, devices, models } }) => {
      const sizes = new Set(devices.map(({ vramBytes, slots }) => `${vramBytes}/${slots}`));
      return `${gpu} ${[...sizes].join()} ${models?.join() ?? "*"}`;
    });
    this.#kinds = [...groups.values()].flatMap((members) => {
      // The one with the most devices can do whatever one of them can.
      const [sample] = members.toSorted((a, b) => b.devices.length - a.devices.length);
      if (sample === undefined) return [];
      const open = new Set<DryRunner>();
      for (const member of members) this.#adopt(member, open);
      return [{ sample, open }];
    });
  }

  get free(): number {
    return this.#free;
  }

  /** Where the job would run now; null if it fits nowhere. */
  spotFor(job: QueuedJob): DrySpot | null {
    const spots: DrySpot[] = [];
    let cheapestMs = Infinity;
    for (const { kind, k, runMs, loadMs } of this.#waysOf(job)) {
      const found = tightest(kind.open, k, loadMs === 0 ? null : job.weights);
      if (found === null) continue;
      const wallMs = runMs + (found.warm ? 0 : loadMs);
      cheapestMs = Math.min(cheapestMs, wallMs * k);
      spots.push({ runner: found.runner, k, wallMs });
    }
    let best: DrySpot | null = null;
    for (const spot of spots) {
      if (spot.wallMs * spot.k > cheapestMs * (1 + this.#slack)) continue;
      if (best === null || spot.wallMs < best.wallMs) best = spot;
    }
    return best;
  }

  occupy({ runner, k }: DrySpot, weights: string): void {
    const taken = slotsFor(runner, k);
    for (let left = taken; left > 0; left--) {
      const warm = runner.free.indexOf(weights);
      runner.free.splice(Math.max(0, warm), 1);
    }
    if (runner.free.length === 0) runner.open.delete(runner);
    this.#free -= taken;
  }

  vacate(id: string, k: number, weights: string): void {
    const runner = this.#byId.get(id);
    if (runner === undefined) return;
    // A batch leaves its slots once, though each of its jobs ends.
    const left = Math.min(slotsFor(runner, k), runner.total - runner.free.length);
    for (let slot = 0; slot < left; slot++) runner.free.push(weights);
    if (left > 0) runner.open.add(runner);
    this.#free += left;
  }

  #waysOf(job: QueuedJob): readonly Way[] {
    const steps = Math.max(1, job.steps - job.stepsDone);
    const bySteps = this.#ways.getOrInsertComputed(job.class, () => new Map());
    return bySteps.getOrInsertComputed(steps, () => this.#weigh(job.class, steps));
  }

  #weigh(classId: string, steps: number): readonly Way[] {
    const jobClass = this.#classes.get(classId);
    return this.#kinds.flatMap((kind) =>
      (jobClass?.shapes ?? []).flatMap((shape) => {
        const { k } = shape;
        const { gpu } = kind.sample.terms;
        if (jobClass === undefined || !serves(kind.sample, jobClass.model, shape)) return [];
        const runMs = this.#cost.runMs(classId, gpu, k, steps);
        return runMs === null ? [] : [{ kind, k, runMs, loadMs: this.#cost.loadMs(classId, gpu) }];
      }),
    );
  }

  #adopt({ terms, devices }: RunnerState, open: Set<DryRunner>): void {
    const free = devices
      .toSorted((a, b) => Number(a.weights !== null) - Number(b.weights !== null) || a.usedAtMs - b.usedAtMs)
      .flatMap((device) => Array.from({ length: spare(device).slots }, () => device.weights));
    const slots = Math.max(...devices.map((device) => device.slots));
    const total = devices.reduce((sum, device) => sum + device.slots, 0);
    const runner = { id: terms.id, open, slots, total, free };
    this.#byId.set(runner.id, runner);
    if (free.length > 0) open.add(runner);
    this.#free += free.length;
  }
}

/** A gang takes its devices whole. */
function slotsFor({ slots }: DryRunner, k: number): number {
  return k === 1 ? 1 : k * slots;
}

/** A runner with enough free devices: a warm one if there is one, then the tightest fit. Weights null: nothing is loaded. */
function tightest(open: ReadonlySet<DryRunner>, k: number, weights: string | null) {
  let best: DryRunner | null = null;
  let bestWarm = false;
  for (const runner of open) {
    if (runner.free.length < slotsFor(runner, k)) continue;
    const warm = weights === null || isWarm(runner, k, weights);
    if (best !== null && (bestWarm !== warm ? bestWarm : runner.free.length >= best.free.length)) continue;
    best = runner;
    bestWarm = warm;
    if (warm && runner.free.length === slotsFor(runner, k)) break;
  }
  return best === null ? null : { runner: best, warm: bestWarm };
}

function isWarm(runner: DryRunner, k: number, weights: string): boolean {
  let warm = 0;
  for (const resident of runner.free) if (resident === weights) warm++;
  return warm >= slotsFor(runner, k);
}
