/**
 * Jain's index of charge dispatched over weight, in windows of ten minutes, over the accounts that had a job waiting during
 * the whole window. The mean over windows with at least two such accounts; 1 is even.
 */
import { Eligibility } from "./eligibility.ts";
import type { RunLog } from "../log-record.ts";
import { round } from "./percentile.ts";

const WINDOW_MS = 600_000;

export function jain10min({ config, records }: RunLog): number {
  const eligibility = new Eligibility(config);
  const backlogged = new Map<string, string>();
  let throughout = new Map<string, string>();
  let served = new Map<string, number>();
  const indices: number[] = [];
  let windowEndMs = WINDOW_MS;
  for (const record of records) {
    while (record.t_ms >= windowEndMs) {
      const index = jain([...throughout].map(([account, tier]) => (served.get(account) ?? 0) / weight(config, tier)));
      if (throughout.size >= 2 && index !== null) indices.push(index);
      throughout = new Map(backlogged);
      served = new Map();
      windowEndMs += WINDOW_MS;
    }
    if (record.event === "placed") {
      served.set(record.account, (served.get(record.account) ?? 0) + record.gpu_seconds);
    }
    const standing = eligibility.apply(record);
    if (standing === null) continue;
    if (standing.waiting.size > 0) backlogged.set(standing.account, standing.tier);
    else {
      backlogged.delete(standing.account);
      throughout.delete(standing.account);
    }
  }
  return round(indices.length === 0 ? 1 : indices.reduce((sum, index) => sum + index, 0) / indices.length);
}

function weight({ weights }: RunLog["config"], tier: string): number {
  return weights[tier] ?? 1;
}

/** Null if nobody got anything. */
function jain(values: readonly number[]): number | null {
  const sum = values.reduce((total, value) => total + value, 0);
  const squares = values.reduce((total, value) => total + value * value, 0);
  return squares === 0 ? null : (sum * sum) / (values.length * squares);
}
