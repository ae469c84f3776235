/**
 * The cost model, of the simulator and of the running system: published rows with the scaling law, or figures that an
 * operator declared, seen as the scheduler asks for them.
 *
 * Classes are made known once (`define`, `declare`); after that every answer is a look-up. Estimates of wall time are
 * corrected by what engines were seen to do; the charge never is, because a slow engine is not the account's choice.
 * A runner's `gpu` may carry the build of its engine (`withBuild`): each build is corrected for itself.
 */
import { invariant } from "#protocol/invariant.ts";
import { classFor, classIdOf } from "./cost-class.ts";
import type { SeededClass } from "./cost-class.ts";
import { CostCorrection } from "./cost-correction.ts";
import type { Outcome } from "./cost-correction.ts";
import { estimateStages } from "./cost-estimate.ts";
import type { StageMs } from "./cost-estimate.ts";
import { BYTES_PER_GB, GPU_KINDS, partsOf, REFERENCE_GPU, withBuild } from "./cost-gpu.ts";
import { MODEL_SPECS } from "./cost-spec.ts";
import { speedOf } from "./cost-speed.ts";
import { batchStretch } from "./job-class.ts";
import type { CostModel, JobClass } from "./job-class.ts";

/** GPU-milliseconds of an H100: a job's fixed part, and each of its steps. */
interface Charge {
  readonly fixedMs: number;
  readonly stepMs: number;
}

/** An operator's figures for a class that the tables do not know. */
export interface DeclaredCost {
  /** Stages on the reference GPU, by the size of the gang. */
  readonly gangs: ReadonlyMap<number, StageMs>;
  readonly loadMs: number;
  readonly charge: Charge;
}

interface Gang {
  readonly stages: StageMs;
  /** Observed / estimated, as it stands. */
  factor: number;
}

interface Entry {
  readonly jobClass: JobClass;
  /** The same, where it came from the tables. */
  readonly seeded: SeededClass | null;
  /** What was asked for before: by the runner's `gpu` and then k, null where the class cannot run. */
  readonly gangs: Map<string, Map<number, Gang | null>>;
  readonly stages: (gpu: string, k: number) => StageMs | null;
  readonly segments: number;
  readonly loadMs: number;
  readonly charge: Charge;
}

/** Runners may name any GPU: beyond this many names the look-ups of a class begin anew. */
const GPU_NAMES_MAX = 256;
/** Charges are whole milliseconds, rounded up, but not for what division leaves behind the comma. */
const ROUNDING_MS = 1e-6;

export class SeededCostModel implements CostModel {
  readonly #entries = new Map<string, Entry>();
  readonly #correction: CostCorrection;

  constructor(correction = new CostCorrection()) {
    this.#correction = correction;
  }

  /** The class of such a video, known from now on; null where the tables do not reach. */
  define(model: string, size: string, seconds: number): SeededClass | null {
    const id = classIdOf(model, size, seconds);
    const known = id === null ? undefined : this.#entries.get(id);
    if (known !== undefined && known.seeded !== null) return known.seeded;
    const seeded = classFor(model, size, seconds);
    const spec = MODEL_SPECS.get(model);
    if (seeded === null || spec === undefined) return null;
    const stages = (gpu: string, k: number) => seededStages(seeded, gpu, k);
    const charge = cheapest(seeded, stages);
    if (charge === null) return null;
    this.#entries.set(seeded.id, {
      jobClass: seeded,
      seeded,
      gangs: new Map(),
      stages,
      segments: seeded.segments,
      loadMs: Math.round(spec.loadSeconds * 1000),
      charge,
    });
    return seeded;
  }

  /** A class with an operator's own figures; declared again, the new figures hold. */
  declare(jobClass: JobClass, { gangs, loadMs, charge }: DeclaredCost): void {
    this.#entries.set(jobClass.id, {
      jobClass,
      seeded: null,
      gangs: new Map(),
      stages: (gpu, k) => declaredStages(gangs.get(k), gpu),
      segments: 1,
      loadMs,
      charge,
    });
  }

  runMs(classId: string, gpu: string, k: number, steps: number, batch = 1): number | null {
    const entry = this.#entries.get(classId);
    const gang = entry === undefined ? null : this.#gang(entry, gpu, k);
    if (entry === undefined || gang === null) return null;
    const { encodeMs, stepMs, decodeMs } = gang.stages;
    const plainMs = entry.segments * (encodeMs + decodeMs + steps * stepMs);
    return Math.ceil(plainMs * batchStretch(entry.jobClass, batch) * gang.factor);
  }

  loadMs(classId: string): number {
    return this.#known(classId).loadMs;
  }

  chargeMs(classId: string, steps: number, batch = 1): number {
    const { charge, segments, jobClass } = this.#known(classId);
    const wholeMs = segments * (charge.fixedMs + steps * charge.stepMs) * batchStretch(jobClass, batch);
    return Math.ceil(wholeMs / batch - ROUNDING_MS);
  }

  /** One segment, uncorrected: what a stage's outcome is compared with. */
  stages(classId: string, gpu: string, k: number): StageMs | null {
    const entry = this.#entries.get(classId);
    return entry === undefined ? null : (this.#gang(entry, gpu, k)?.stages ?? null);
  }

  /** Learns from how long a stage took; from now on the estimates of its model, build, GPU and gang follow. */
  observe(outcome: Outcome): void {
    this.#correction.observe(outcome);
    const gpu = withBuild(outcome.gpu, outcome.build);
    const factor = this.#correction.factor(outcome);
    for (const { jobClass, gangs } of this.#entries.values()) {
      if (jobClass.model !== outcome.model) continue;
      const gang = gangs.get(gpu)?.get(outcome.k) ?? null;
      if (gang !== null) gang.factor = factor;
    }
  }

  #known(classId: string): Entry {
    const entry = this.#entries.get(classId);
    invariant(entry !== undefined, `the class ${classId} was never defined`);
    return entry;
  }

  #gang(entry: Entry, gpu: string, k: number): Gang | null {
    let byGang = entry.gangs.get(gpu);
    if (byGang === undefined) {
      byGang = new Map(entry.jobClass.shapes.map((shape) => [shape.k, this.#newGang(entry, gpu, shape.k)]));
      if (entry.gangs.size >= GPU_NAMES_MAX) entry.gangs.clear();
      entry.gangs.set(gpu, byGang);
    }
    return byGang.get(k) ?? null;
  }

  #newGang({ jobClass, stages }: Entry, name: string, k: number): Gang | null {
    const { gpu, build } = partsOf(name);
    const found = stages(gpu, k);
    return found === null
      ? null
      : { stages: found, factor: this.#correction.factor({ build, model: jobClass.model, gpu, k }) };
  }
}

/** Where it fits and pays: memory on each device, and for a gang NVLink. */
function seededStages(seeded: SeededClass, gpu: string, k: number): StageMs | null {
  const kind = GPU_KINDS.get(gpu);
  const shape = seeded.shapes.find((candidate) => candidate.k === k);
  if (kind === undefined || shape === undefined) return null;
  if (shape.vramBytes > kind.memoryGb * BYTES_PER_GB || (k > 1 && !kind.nvlink)) return null;
  return estimateStages(seeded.model, seeded.shape, gpu, k);
}

/** Declared on the reference GPU; elsewhere the law's ratio is the prior, until the correction knows better. */
function declaredStages(declared: StageMs | undefined, gpu: string): StageMs | null {
  if (declared === undefined) return null;
  const speed = speedOf(gpu);
  const { encodeMs, stepMs, decodeMs } = declared;
  return { encodeMs: encodeMs / speed, stepMs: stepMs / speed, decodeMs: decodeMs / speed };
}

/** On the H100 if the class fits it; else on the kind that takes the least H100-equivalent time. */
function cheapest(seeded: SeededClass, stages: Entry["stages"]): Charge | null {
  const on = (gpu: string) =>
    seeded.shapes.flatMap(({ k }) => {
      const found = stages(gpu, k);
      const h100 = k * speedOf(gpu);
      return found === null ? [] : [{ fixedMs: (found.encodeMs + found.decodeMs) * h100, stepMs: found.stepMs * h100 }];
    });
  const reference = on(REFERENCE_GPU);
  const gangs = reference.length > 0 ? reference : [...GPU_KINDS.keys()].flatMap(on);
  return gangs.toSorted((a, b) => a.stepMs - b.stepMs)[0] ?? null;
}
