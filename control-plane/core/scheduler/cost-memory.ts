/**
 * Peak memory of a video on each device of a gang. Measured shapes are exact; the others follow the tokens, and carry
 * headroom, because a job that runs out of memory has paid for all its steps.
 */
import { GANG_SIZES, tokensOf } from "./cost-law.ts";
import { MODEL_SPECS } from "./cost-spec.ts";
import type { ModelSpec } from "./cost-spec.ts";
import { isSameShape, SEED_ROWS } from "./cost-table.ts";
import type { VideoShape } from "./cost-table.ts";

/** What is added to a peak that nobody measured. */
export const PEAK_HEADROOM = 0.1;

interface Peak {
  readonly tokens: number;
  readonly gb: number;
}

/** Null where no run of the model has published its memory. */
export function peakGb(model: string, shape: VideoShape, k: number): number | null {
  const spec = MODEL_SPECS.get(model);
  if (spec === undefined) return null;
  const measured = SEED_ROWS.flatMap((row) =>
    row.model === model && row.k === k && isSameShape(row.shape, shape) ? (row.peakGb ?? []) : [],
  );
  if (measured.length > 0) return Math.max(...measured);
  if (spec.transformer === null) return null;
  return estimated(spec.rowsOf ?? model, spec, tokensOf(spec.transformer, shape), k);
}

function estimated(model: string, spec: ModelSpec, tokens: number, k: number): number | null {
  const gbPerToken = slope(model, spec);
  if (gbPerToken === null) return null;
  const rows = peaks(model, spec, k);
  const [smallest, largest] = [rows[0], rows.at(-1)];
  if (smallest === undefined || largest === undefined) {
    // Unmeasured gang: one part resident, the activations shared; never less than a wider gang was seen to need.
    const shared = spec.weightsGb + (gbPerToken * tokens) / k;
    const wider = GANG_SIZES.find((other) => other > k && peaks(model, spec, other).length > 0);
    const atLeast = wider === undefined ? 0 : (estimated(model, spec, tokens, wider) ?? 0);
    return Math.max(shared * (1 + PEAK_HEADROOM), atLeast);
  }
  if (tokens <= smallest.tokens) return smallest.gb;
  const above = rows.find((row) => row.tokens >= tokens);
  const below = rows.findLast((row) => row.tokens <= tokens) ?? largest;
  if (above === undefined) return (below.gb + (gbPerToken * (tokens - below.tokens)) / k) * (1 + PEAK_HEADROOM);
  if (above.tokens === below.tokens) return above.gb;
  const between = below.gb + ((above.gb - below.gb) * (tokens - below.tokens)) / (above.tokens - below.tokens);
  return Math.min(above.gb, between * (1 + PEAK_HEADROOM));
}

/** Gigabytes a token adds on one GPU: between the single-GPU rows, or above the weights where there is only one. */
function slope(model: string, spec: ModelSpec): number | null {
  const rows = peaks(model, spec, 1);
  const [smallest, largest] = [rows[0], rows.at(-1)];
  if (smallest === undefined || largest === undefined) return null;
  const from = smallest.tokens === largest.tokens ? { tokens: 0, gb: spec.weightsGb } : smallest;
  return (largest.gb - from.gb) / (largest.tokens - from.tokens);
}

/** The largest peak of each measured shape, ascending in tokens. */
function peaks(model: string, { transformer }: ModelSpec, k: number): readonly Peak[] {
  if (transformer === null) return [];
  const byTokens = new Map<number, number>();
  for (const row of SEED_ROWS) {
    if (row.model !== model || row.k !== k || row.peakGb === null) continue;
    const tokens = tokensOf(transformer, row.shape);
    byTokens.set(tokens, Math.max(byTokens.get(tokens) ?? 0, row.peakGb));
  }
  return [...byTokens].map(([tokens, gb]) => ({ tokens, gb })).toSorted((a, b) => a.tokens - b.tokens);
}
