/** Models are data: what may be asked of one, and which class (resolution × duration bucket) a request falls into. */
import type { GpuMillis, MilliCredits } from "#protocol/unit.ts";

export interface ModelSize {
  readonly size: string;
  /** The bucket this size is priced and packed in, e.g. `720p`. */
  readonly resolution: string;
}

/** One way to run a class: k devices of one runner together. Times at the model's default steps on the reference GPU. */
export interface ClassShape {
  readonly k: number;
  /** On each of the k devices. */
  readonly vram_bytes: number;
  readonly wall_ms: number;
  /** Parts of `wall_ms` that do not grow with the steps. */
  readonly encode_ms: number;
  readonly decode_ms: number;
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
  /** Whether its engine goes on from a checkpoint with the same bits. */
  readonly resume: "exact" | "none";
  readonly classes: readonly ModelClass[];
}

/** The narrowest class that holds the request; null if the model has none. */
export function classOf(model: Model, resolution: string, seconds: number): ModelClass | null {
  const fitting = model.classes
    .filter((candidate) => candidate.resolution === resolution && candidate.secondsMax >= seconds)
    .toSorted((a, b) => a.secondsMax - b.secondsMax);
  return fitting[0] ?? null;
}
