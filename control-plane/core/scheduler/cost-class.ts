/**
 * From what a customer asks (model, size, seconds) to the class that is scheduled: `<model>|<resolution>/<seconds>s`.
 *
 * A bucket costs what its widest size costs; its squares and portraits are never charged less. A video longer than a
 * segment is made of chained segments of ten seconds, each its own denoising run that starts from the end of the one before.
 */
import { BATCH_TOKENS_MAX, GANG_SIZES, GANG_TOKENS_MIN, tokensOf } from "./cost-law.ts";
import { peakGb } from "./cost-memory.ts";
import { BYTES_PER_GB } from "./cost-gpu.ts";
import { MODEL_SPECS } from "./cost-spec.ts";
import type { ModelSpec } from "./cost-spec.ts";
import type { VideoShape } from "./cost-table.ts";
import type { JobClass } from "./job-class.ts";

export const SEGMENT_SECONDS = 10;
export const SEGMENTS_MAX = 6;
const BATCH_MAX = 8;

/** Sizes that the buckets stand for. */
const BUCKETS: Readonly<Record<string, readonly [width: number, height: number]>> = {
  "480p": [832, 480],
  "720p": [1280, 720],
  "1080p": [1920, 1080],
  "1024p": [1792, 1024],
};

export interface SeededClass extends JobClass {
  /** One segment. */
  readonly shape: VideoShape;
  /**
   * Chained segments; 1 for a plain video. A job of `steps` runs `steps` in each of them, so `steps / segments` of its
   * steps lie between two ends of a segment, and those ends are where a longer video should be stopped.
   */
  readonly segments: number;
}

/** The class's name; null for a model, a size or a length the tables do not reach. */
export function classIdOf(model: string, size: string, seconds: number): string | null {
  const spec = MODEL_SPECS.get(model);
  if (spec === undefined || bucketOf(size, spec.sizes) === null || segmentsOf(seconds) === null) return null;
  return `${model}|${sidesOf(size).short}p/${seconds}s`;
}

/** Null where there is no name, and for a model whose memory was never published. */
export function classFor(model: string, size: string, seconds: number): SeededClass | null {
  const id = classIdOf(model, size, seconds);
  const spec = MODEL_SPECS.get(model);
  const bucket = spec === undefined ? null : bucketOf(size, spec.sizes);
  const segments = segmentsOf(seconds);
  if (id === null || spec === undefined || bucket === null || segments === null) return null;
  const [width, height] = bucket;
  const shape: VideoShape = { width, height, frames: (spec.fps * seconds) / segments + 1 };
  const tokens = spec.transformer === null ? null : tokensOf(spec.transformer, shape);
  const gangs = tokens === null || tokens < GANG_TOKENS_MIN ? [1] : GANG_SIZES;
  const shapes = gangs.flatMap((k) => {
    const gb = peakGb(model, shape, k);
    return gb === null ? [] : [{ k, vramBytes: Math.round(gb * BYTES_PER_GB) }];
  });
  if (shapes.length === 0) return null;
  return {
    id,
    model,
    shapes,
    resume: spec.resume,
    batchMax: tokens === null ? 1 : Math.min(BATCH_MAX, Math.max(1, Math.floor(BATCH_TOKENS_MAX / tokens))),
    shape,
    segments,
  };
}

/** The size that the bucket stands for; null where there is none, or the video is longer on a side. */
function bucketOf(size: string, own: ModelSpec["sizes"]): readonly [width: number, height: number] | null {
  const { short, long } = sidesOf(size);
  const widest = own[`${short}p`] ?? BUCKETS[`${short}p`];
  return widest === undefined || long > Math.max(...widest) ? null : widest;
}

/** NaN, which no bucket has, where the text is not a size. */
function sidesOf(size: string): { readonly short: number; readonly long: number } {
  const match = /^(?<width>\d{2,5})x(?<height>\d{2,5})$/.exec(size);
  const width = Number(match?.groups?.["width"]);
  const height = Number(match?.groups?.["height"]);
  return { short: Math.min(width, height), long: Math.max(width, height) };
}

function segmentsOf(seconds: number): number | null {
  if (!Number.isInteger(seconds) || seconds < 1) return null;
  if (seconds <= SEGMENT_SECONDS) return 1;
  const segments = seconds / SEGMENT_SECONDS;
  return Number.isInteger(segments) && segments <= SEGMENTS_MAX ? segments : null;
}
