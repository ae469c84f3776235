/**
 * Stage times of a video on a gang, from the nearest published row.
 *
 * Where the very shape was measured the row is reproduced. Elsewhere the law gives the step and the ratio row / law of
 * the same model, GPU and gang scales it (between two rows by the logarithm of the tokens); failing that, the ratio of
 * its single-GPU rows on this GPU, failing that their mean over GPUs. A model without a transformer has no law and is
 * known only where it was measured. Null means that nobody measured anything near.
 */
import { GPU_KINDS, REFERENCE_GPU } from "./cost-gpu.ts";
import { gangEfficiency, lawStepSeconds, tokensOf } from "./cost-law.ts";
import { MODEL_SPECS } from "./cost-spec.ts";
import type { ModelSpec, Transformer } from "./cost-spec.ts";
import { isSameShape, SEED_ROWS } from "./cost-table.ts";
import type { SeedRow, VideoShape } from "./cost-table.ts";

/** Encode and decode do not shrink with the gang; a step does. */
export interface StageMs {
  readonly encodeMs: number;
  readonly stepMs: number;
  readonly decodeMs: number;
}

interface Anchor {
  readonly tokens: number;
  readonly ratio: number;
}

export function estimateStages(model: string, shape: VideoShape, gpu: string, k: number): StageMs | null {
  const spec = MODEL_SPECS.get(model);
  const fixed = spec === undefined ? null : fixedSeconds(spec, shape, gpu);
  if (spec === undefined || fixed === null) return null;
  const step = stepSeconds(model, spec, shape, gpu, k);
  if (step === null) return null;
  return { encodeMs: fixed.encode * 1000, stepMs: step * 1000, decodeMs: fixed.decode * 1000 };
}

function stepSeconds(model: string, spec: ModelSpec, shape: VideoShape, gpu: string, k: number): number | null {
  const own = SEED_ROWS.find(
    (row) => row.model === model && row.gpu === gpu && row.k === k && isSameShape(row.shape, shape),
  );
  if (own !== undefined) return rowStepSeconds(own);
  const law = lawGangSeconds(spec, shape, gpu, k);
  if (law === null || spec.transformer === null) return null;
  return law * calibration(spec.rowsOf ?? model, tokensOf(spec.transformer, shape), gpu, k);
}

/** A gang without NVLink is estimated only where it was measured. */
function lawGangSeconds(spec: ModelSpec, shape: VideoShape, gpu: string, k: number): number | null {
  const kind = GPU_KINDS.get(gpu);
  if (kind === undefined || spec.transformer === null || (k > 1 && !kind.nvlink)) return null;
  const tokens = tokensOf(spec.transformer, shape);
  const efficiency = gangEfficiency(k, tokens);
  return efficiency === null ? null : lawStepSeconds(spec.transformer, spec.passes, tokens, kind) / (k * efficiency);
}

function calibration(model: string, tokens: number, gpu: string, k: number): number {
  const gang = anchorsOf(model, gpu, k);
  if (gang.length > 0) return ratioAt(gang, tokens);
  const single = anchorsOf(model, gpu, 1);
  if (single.length > 0) return ratioAt(single, tokens);
  const elsewhere = [...GPU_KINDS.keys()]
    .map((other) => anchorsOf(model, other, 1))
    .filter((anchors) => anchors.length > 0)
    .map((anchors) => ratioAt(anchors, tokens));
  return elsewhere.length === 0 ? 1 : elsewhere.reduce((sum, ratio) => sum + ratio, 0) / elsewhere.length;
}

function anchorsOf(model: string, gpu: string, k: number): readonly Anchor[] {
  const spec = MODEL_SPECS.get(model);
  if (spec === undefined || spec.transformer === null) return [];
  const transformer: Transformer = spec.transformer;
  return SEED_ROWS.filter((row) => row.model === model && row.gpu === gpu && row.k === k)
    .flatMap((row) => {
      const law = lawGangSeconds(spec, row.shape, gpu, k);
      return law === null ? [] : [{ tokens: tokensOf(transformer, row.shape), ratio: rowStepSeconds(row) / law }];
    })
    .toSorted((a, b) => a.tokens - b.tokens);
}

/** Straight between neighbours over log tokens, the outermost ratio beyond them. */
function ratioAt(anchors: readonly Anchor[], tokens: number): number {
  const above = anchors.find((anchor) => anchor.tokens >= tokens);
  const below = anchors.findLast((anchor) => anchor.tokens <= tokens);
  const [from, to] = [below ?? above, above ?? below];
  if (from === undefined || to === undefined) return 1;
  if (from.tokens === to.tokens) return from.ratio;
  const part = Math.log(tokens / from.tokens) / Math.log(to.tokens / from.tokens);
  return from.ratio + (to.ratio - from.ratio) * part;
}

/** What a row leaves for one step once encode and decode are taken out. */
function rowStepSeconds(row: SeedRow): number {
  const spec = MODEL_SPECS.get(row.model);
  const fixed = spec === undefined ? null : fixedSeconds(spec, row.shape, row.gpu);
  return (row.seconds - (fixed === null ? 0 : fixed.encode + fixed.decode)) / row.steps;
}

/** Encode and decode are convolutions and projections: they scale with the GPU's linear rate. */
function fixedSeconds(spec: ModelSpec, { width, height, frames }: VideoShape, gpu: string) {
  const kind = GPU_KINDS.get(gpu);
  const reference = GPU_KINDS.get(REFERENCE_GPU);
  if (kind === undefined || reference === undefined) return null;
  const slowness = reference.linear / kind.linear;
  return {
    encode: spec.encodeSeconds * slowness,
    decode: (width * height * frames * spec.decodeNanosPerPixel * slowness) / 1e9,
  };
}
