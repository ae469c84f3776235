/** Models are data: what may be asked of one, and which class (resolution × duration bucket) a request falls into. */
import type { GpuMillis, MilliCredits } from "#protocol/unit.ts";

export interface ModelSize {
  readonly size: string;
  /** The bucket this size is priced and packed in, e.g. `720p`. */
  readonly resolution: string;
}

export interface ModelClass {
  readonly name: string;
  readonly resolution: string;
  readonly secondsMax: number;
  /** At the model's default steps. */
  readonly price: MilliCredits;
  readonly gpuMs: GpuMillis;
}

export interface Model {
  readonly name: string;
  readonly engine: string;
  readonly fps: number;
  readonly sizes: readonly ModelSize[];
  readonly defaultSize: string;
  readonly secondsMin: number;
  readonly secondsMax: number;
  readonly secondsDefault: number;
  readonly stepsDefault: number;
  readonly stepsMax: number;
  readonly classes: readonly ModelClass[];
}

/** The narrowest class that holds the request; null if the model has none. */
export function classOf(model: Model, resolution: string, seconds: number): ModelClass | null {
  const fitting = model.classes
    .filter((candidate) => candidate.resolution === resolution && candidate.secondsMax >= seconds)
    .toSorted((a, b) => a.secondsMax - b.secondsMax);
  return fitting[0] ?? null;
}
