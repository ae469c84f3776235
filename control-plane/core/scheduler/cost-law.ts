/**
 * The scaling law: seconds of a denoising step for a shape that nobody published.
 *
 * A transformer step of N tokens costs `linear x N + attention x N^2` floating-point operations per forward pass, each
 * part at its own effective rate of the GPU. On the software the rates were solved from it is good to about 6 %; across
 * software 30 to 50 %, which is why estimates are anchored to rows (`cost-estimate.ts`) and corrected online
 * (`cost-correction.ts`).
 */
import type { GpuKind } from "./cost-gpu.ts";
import type { Transformer } from "./cost-spec.ts";
import type { VideoShape } from "./cost-table.ts";

/** Gangs that anybody published: whole hosts halved. */
export const GANG_SIZES = [1, 2, 4, 8] as const;
/** Under this a gang's exchange costs more than it saves: run that many jobs side by side instead. */
export const GANG_TOKENS_MIN = 30_000;
/** vLLM-Omni's profiled knee: a step with more tokens than this fills a GPU, so batching gains nothing. */
export const BATCH_TOKENS_MAX = 10_240;

/**
 * Speed-up / k over NVLink, 14B class, at two token counts; in between by straight line, outside the nearer one.
 * k = 4 and 8 are the Wan2.2-A14B rows on H100; k = 2 is the low end of the published 97-100 % at 720p and, at 480p where
 * none was published, the square root of k = 4.
 */
const EFFICIENCY_TOKENS = [32_760, 75_600] as const;
const EFFICIENCY: ReadonlyMap<number, readonly [number, number]> = new Map([
  [1, [1, 1]],
  [2, [0.94, 0.97]],
  [4, [0.89, 0.9]],
  [8, [0.79, 0.84]],
]);

/** Tokens of a shape; the width and height are padded to whole patches, as the engines do. */
export function tokensOf(
  { frameStride, patchPixels, textTokens }: Transformer,
  { width, height, frames }: VideoShape,
): number {
  const latentFrames = Math.floor((frames - 1) / frameStride) + 1;
  return latentFrames * Math.ceil(width / patchPixels) * Math.ceil(height / patchPixels) + textTokens;
}

/** One forward pass, in tera floating-point operations. */
export function forwardWork(
  transformer: Transformer,
  tokens: number,
): { readonly linear: number; readonly attention: number } {
  return {
    linear: (transformer.linearPerToken * tokens) / 1e12,
    attention: (transformer.attentionPerTokenPair * tokens * tokens) / 1e12,
  };
}

/** Seconds of one denoising step on one GPU. */
export function lawStepSeconds(transformer: Transformer, passes: number, tokens: number, gpu: GpuKind): number {
  const { linear, attention } = forwardWork(transformer, tokens);
  return passes * (linear / gpu.linear + attention / gpu.attention);
}

/** Speed-up / k over NVLink; null for a gang size nobody published. */
export function gangEfficiency(k: number, tokens: number): number | null {
  const ends = EFFICIENCY.get(k);
  if (ends === undefined) return null;
  const [from, to] = EFFICIENCY_TOKENS;
  const part = Math.min(1, Math.max(0, (tokens - from) / (to - from)));
  return ends[0] + (ends[1] - ends[0]) * part;
}
