/**
 * Stage reports of a runner as one number from 1 to 99: 100 is kept for `completed`. The caller never lets it fall.
 */
import type { Stage } from "#protocol/runner.ts";

/** Where each stage starts on the scale; the shares follow the measured cost of the reference engine. */
const STAGE_FROM = { load: 1, encode: 1, denoise: 2, decode: 62, upload: 98 } as const satisfies Record<Stage, number>;
const STAGE_TO = { load: 1, encode: 2, denoise: 62, decode: 98, upload: 99 } as const satisfies Record<Stage, number>;

export function progressOf(stage: Stage, done: number, of: number): number {
  const share = Math.min(1, Math.max(0, done / of));
  return STAGE_FROM[stage] + Math.floor((STAGE_TO[stage] - STAGE_FROM[stage]) * share);
}
