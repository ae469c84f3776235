/**
 * The cost model: published rows and the scaling law, seen as the scheduler asks for them.
 *
 * Classes are made known once (`define`, `declare`); after that every answer is a look-up. Estimates of wall time may be
 * corrected by what engines were seen to do; the charge never is, because a slow engine is not the account's choice.
 */
import { invariant } from "#protocol/invariant.ts";
import { classFor, classIdOf } from "./cost-class.ts";
import type { SeededClass } from "./cost-class.ts";
import { estimateStages } from "./cost-estimate.ts";
import type { StageMs } from "./cost-estimate.ts";
import { BYTES_PER_GB, GPU_KINDS, REFERENCE_GPU } from "./cost-gpu.ts";
import { GANG_TOKENS_MIN, lawStepSeconds } from "./cost-law.ts";
import { MODEL_SPECS } from "./cost-spec.ts";
import { batchStretch } from "./job-class.ts";
import type { CostModel, JobClass } from "./job-class.ts";

/** Figures an operator states for a class the tables do not know; the same on every GPU kind and for every gang. */
export interface DeclaredCost {
  readonly fixedMs: number;
  readonly stepMs: number;
  readonly loadMs: number;
}

/** Observed / estimated wall time of this model there; 1 until something was observed. */
export type Correction = (model: string, gpu: string, k: number) => number;

interface Entry {
  readonly jobClass: JobClass;
  /** The same, where it came from the tables. */
  readonly seeded: SeededClass | null;
  /** By `gpu` and then k; null where the class cannot run. */
  readonly gangs: Map<string, Map<number, StageMs | null>>;
  readonly stages: (gpu: string, k: number) => StageMs | null;
  readonly segments: number;
  readonly loadMs: number;
  /** The cheapest gang: H100 GPU-milliseconds of a job's fixed part and of each step. */
  readonly charge: { readonly fixedMs: number; readonly stepMs: number };
}

export class SeededCostModel implements CostModel {
  readonly #entries = new Map<string, Entry>();
  readonly #correction: Correction;

  constructor(correction: Correction = () => 1) {
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

  /** A class with an operator's own figures, for engines that nobody published. */
  declare(jobClass: JobClass, { fixedMs, stepMs, loadMs }: DeclaredCost): void {
    const widths = new Set(jobClass.shapes.map(({ k }) => k));
    const narrowest = Math.min(...widths);
    this.#entries.set(jobClass.id, {
      jobClass,
      seeded: null,
      gangs: new Map(),
      stages: (_gpu, k) => (widths.has(k) ? { encodeMs: 0, stepMs, decodeMs: fixedMs } : null),
      segments: 1,
      loadMs,
      charge: { fixedMs: fixedMs * narrowest, stepMs: stepMs * narrowest },
    });
  }

  runMs(classId: string, gpu: string, k: number, steps: number, batch = 1): number | null {
    const entry = this.#entries.get(classId);
    const stages = entry === undefined ? null : stagesOf(entry, gpu, k);
    if (entry === undefined || stages === null) return null;
    const { encodeMs, stepMs, decodeMs } = stages;
    const plainMs = entry.segments * (encodeMs + decodeMs + steps * stepMs);
    return Math.ceil(plainMs * batchStretch(entry.jobClass, batch) * this.#correction(entry.jobClass.model, gpu, k));
  }

  loadMs(classId: string): number {
    return this.#known(classId).loadMs;
  }

  chargeMs(classId: string, steps: number, batch = 1): number {
    const { charge, segments, jobClass } = this.#known(classId);
    return Math.ceil((segments * (charge.fixedMs + steps * charge.stepMs) * batchStretch(jobClass, batch)) / batch);
  }

  /** One segment, uncorrected: what a stage's outcome is compared with. */
  stages(classId: string, gpu: string, k: number): StageMs | null {
    const entry = this.#entries.get(classId);
    return entry === undefined ? null : stagesOf(entry, gpu, k);
  }

  #known(classId: string): Entry {
    const entry = this.#entries.get(classId);
    invariant(entry !== undefined, `the class ${classId} was never defined`);
    return entry;
  }
}

function stagesOf(entry: Entry, gpu: string, k: number): StageMs | null {
  let byGang = entry.gangs.get(gpu);
  if (byGang === undefined) {
    byGang = new Map(entry.jobClass.shapes.map((shape) => [shape.k, entry.stages(gpu, shape.k)]));
    // Runners may name any GPU; only kinds we know are worth remembering, which also bounds the map.
    if (GPU_KINDS.has(gpu)) entry.gangs.set(gpu, byGang);
  }
  return byGang.get(k) ?? null;
}

/** Where it fits and pays: memory on each device, and for a gang NVLink. */
function seededStages(seeded: SeededClass, gpu: string, k: number): StageMs | null {
  const kind = GPU_KINDS.get(gpu);
  const shape = seeded.shapes.find((candidate) => candidate.k === k);
  if (kind === undefined || shape === undefined) return null;
  if (shape.vramBytes > kind.memoryGb * BYTES_PER_GB || (k > 1 && !kind.nvlink)) return null;
  return estimateStages(seeded.model, seeded.shape, gpu, k);
}

/** On the H100 if the class fits it; else on the kind that takes the least H100-equivalent time. */
function cheapest(seeded: SeededClass, stages: Entry["stages"]): Entry["charge"] | null {
  const on = (gpu: string) =>
    seeded.shapes.flatMap(({ k }) => {
      const found = stages(gpu, k);
      const h100 = k * speed(gpu);
      return found === null ? [] : [{ fixedMs: (found.encodeMs + found.decodeMs) * h100, stepMs: found.stepMs * h100 }];
    });
  const reference = on(REFERENCE_GPU);
  const gangs = reference.length > 0 ? reference : [...GPU_KINDS.keys()].flatMap(on);
  return gangs.toSorted((a, b) => a.stepMs - b.stepMs)[0] ?? null;
}

/** How much of an H100 this GPU is, at the tokens where gangs begin to pay. */
function speed(gpu: string): number {
  const [kind, reference] = [GPU_KINDS.get(gpu), GPU_KINDS.get(REFERENCE_GPU)];
  const transformer = MODEL_SPECS.get("wan2.2-t2v-a14b")?.transformer;
  invariant(
    kind !== undefined && reference !== undefined && transformer !== undefined && transformer !== null,
    "the reference figures exist",
  );
  const seconds = (of: typeof kind) => lawStepSeconds(transformer, 1, GANG_TOKENS_MIN, of);
  return seconds(reference) / seconds(kind);
}
