/** Nearest-rank percentiles. */
export interface Percentiles {
  readonly count: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

export function percentiles(values: readonly number[]): Percentiles {
  const sorted = values.toSorted((a, b) => a - b);
  return { count: sorted.length, p50: rank(sorted, 0.5), p95: rank(sorted, 0.95), p99: rank(sorted, 0.99) };
}

/** 0 for no values. */
export function percentile(values: readonly number[], share: number): number {
  return rank(
    values.toSorted((a, b) => a - b),
    share,
  );
}

function rank(sorted: readonly number[], share: number): number {
  return round(sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0);
}

/** Three places: more says nothing, and makes files hard to compare. */
export function round(value: number): number {
  return Math.round(value * 1_000) / 1_000;
}
