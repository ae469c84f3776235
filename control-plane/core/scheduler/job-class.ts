/**
 * What a class of jobs needs, and what running it costs: the scheduler's only knowledge of models and GPUs.
 *
 * A class is a resolution × duration bucket of a model. `k` is the size of the gang: devices of one runner that work on
 * one job together. Times are milliseconds of wall clock; the fair charge is GPU-milliseconds of an H100.
 */

/** `exact`: may be stopped at a step boundary and go on elsewhere without loss. Others are never preempted. */
export const RESUMES = ["exact", "none"] as const;

/** One way to run a class. */
export interface Shape {
  readonly k: number;
  /** Needed on each of the k devices. */
  readonly vramBytes: number;
}

export interface JobClass {
  readonly id: string;
  readonly model: string;
  /** Ascending k; at least one. */
  readonly shapes: readonly Shape[];
  readonly resume: (typeof RESUMES)[number];
  /** Jobs of equal weights and steps that one gang may run together; 1 where batching does not pay. */
  readonly batchMax: number;
  /** What each further job of a batch adds to its time, as a share of one job alone; 1, no gain, if absent. */
  readonly batchFactor?: number;
}

/** How much longer a batch takes than one job alone. */
export function batchStretch({ batchFactor = 1 }: JobClass, batch: number): number {
  return 1 + (batch - 1) * batchFactor;
}

/** Estimates; `null` where the class cannot run on such a GPU with this gang. */
export interface CostModel {
  /** Wall time from the first to the last of `steps`, decode included, on a warm gang; of `batch` jobs together, if given. */
  runMs(classId: string, gpu: string, k: number, steps: number, batch?: number): number | null;
  /** Wall time to make `weights` of the class's model resident on a device of this kind. */
  loadMs(classId: string, gpu: string): number;
  /**
   * The fair charge of `steps`: H100 GPU-milliseconds at the class's cheapest gang; for each of `batch` jobs its part.
   * Platform overhead is never in it.
   */
  chargeMs(classId: string, steps: number, batch?: number): number;
}
