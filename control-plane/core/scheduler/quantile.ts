/**
 * How far starts fall behind what was predicted, by horizon: the factor that makes a p90 of a p50.
 *
 * Per horizon bucket the ratios (actual over predicted wait) of the last starts are kept, and the asked quantile of them is
 * the factor: of the next starts of that horizon, that share comes in time, whatever the distribution is. Between the
 * middles of buckets the answer is interpolated, and it never falls as the prediction rises, so that whoever stands
 * further back is never promised more.
 */
/** Predictions below this are one bucket, read as this: a ratio to almost nothing says nothing. */
const HORIZON_MIN_MS = 15_000;
/** Each horizon is twice the one before; the last one is longer than any job lives. */
const BUCKETS = 14;
/** Ratios kept per bucket, and how many a bucket needs before it is believed. */
const WINDOW = 512;
const BELIEVED_MIN = 20;
/** Before anything was learned. */
const PRIOR_RATIO = 1.5;

export function horizonOf(predictedMs: number): number {
  if (predictedMs < HORIZON_MIN_MS) return 0;
  return Math.min(BUCKETS - 1, 1 + Math.floor(Math.log2(predictedMs / HORIZON_MIN_MS)));
}

interface Bucket {
  /** As they came; once the window is full, the oldest is at `next`. */
  readonly ratios: number[];
  readonly sorted: number[];
  next: number;
}

interface Point {
  readonly predictedMs: number;
  readonly boundMs: number;
}

export class WaitQuantile {
  readonly #share: number;
  readonly #buckets: readonly Bucket[] = Array.from({ length: BUCKETS }, () => ({ ratios: [], sorted: [], next: 0 }));
  #points: readonly Point[] | null = null;

  /** `share` of the starts are to come within the bound. */
  constructor(share: number) {
    this.#share = share;
  }

  observe(predictedMs: number, actualMs: number): void {
    const bucket = this.#buckets[horizonOf(predictedMs)];
    if (bucket === undefined) return;
    const { ratios, sorted, next } = bucket;
    const oldest = ratios[next];
    if (oldest !== undefined) sorted.splice(placeOf(sorted, oldest), 1);
    const ratio = actualMs / Math.max(HORIZON_MIN_MS, predictedMs);
    ratios[next] = ratio;
    sorted.splice(placeOf(sorted, ratio), 0, ratio);
    bucket.next = (next + 1) % WINDOW;
    this.#points = null;
  }

  /** What the asked share of waits predicted like this does not exceed; never less than the prediction. */
  boundMs(predictedMs: number): number {
    this.#points ??= this.#curve();
    const above = this.#points.findIndex((point) => point.predictedMs > predictedMs);
    const [low, high] = [this.#points[above - 1], this.#points[above]];
    if (above === 0) return high?.boundMs ?? predictedMs;
    if (low === undefined || high === undefined) {
      const last = this.#points.at(-1);
      return last === undefined ? predictedMs : predictedMs * (last.boundMs / last.predictedMs);
    }
    const part = (predictedMs - low.predictedMs) / (high.predictedMs - low.predictedMs);
    return low.boundMs + part * (high.boundMs - low.boundMs);
  }

  #curve(): readonly Point[] {
    const known = this.#buckets.map((bucket) => quantile(bucket.sorted, this.#share));
    let boundMs = 0;
    return this.#buckets.map((_, horizon) => {
      const predictedMs = horizon === 0 ? HORIZON_MIN_MS / 2 : HORIZON_MIN_MS * 2 ** (horizon - 1) * Math.SQRT2;
      const ratio = Math.max(1, known[horizon] ?? nearest(known, horizon) ?? PRIOR_RATIO);
      boundMs = Math.max(boundMs, ratio * Math.max(HORIZON_MIN_MS, predictedMs));
      return { predictedMs, boundMs };
    });
  }
}

/** The least ratio that covers the share also of one more start; null while too few are known. */
function quantile(sorted: readonly number[], share: number): number | null {
  if (sorted.length < BELIEVED_MIN) return null;
  return sorted[Math.min(sorted.length, Math.ceil((sorted.length + 1) * share)) - 1] ?? null;
}

/** The first index whose value is not less. */
function placeOf(sorted: readonly number[], value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? Infinity) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** What the nearest horizon knows, the shorter one of two. */
function nearest(known: readonly (number | null)[], horizon: number): number | null {
  for (let distance = 1; distance < known.length; distance++) {
    const found = known[horizon - distance] ?? known[horizon + distance] ?? null;
    if (found !== null) return found;
  }
  return null;
}
