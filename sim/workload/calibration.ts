/**
 * What the synthetic workloads are made to look like: summary statistics of GenTD26, a published production trace of
 * image generation (24 days, 26,823 requests, 4,247 accounts). Only these figures are used; no line of the trace is here.
 *
 * The trace has no tiers, sizes or lengths. Tiers are ours; the mix of classes maps images a prompt to sizes and lengths.
 */
export const OFFERED_LOAD = 0.85;
/** Eight hosts of eight H100. */
export const DEVICES = 64;

/** Jobs of an account by its quantile; between the knots by the logarithm. The top 1 % make 27.7 %, the top 10 % 57 %. */
export const ACTIVITY_QUANTILES: readonly (readonly [quantile: number, jobs: number])[] = [
  [0, 1],
  [0.29, 1.5],
  [0.5, 2.5],
  [0.62, 3.5],
  [0.75, 5],
  [0.9, 10],
  [0.95, 16],
  [0.98, 33],
  [0.99, 65],
  [1, 370],
];
export const TOP_1_PERCENT_OF_JOBS = 0.277;
export const TOP_10_PERCENT_OF_JOBS = 0.57;

export const TIER_SHARES: readonly (readonly [tier: string, ofAccounts: number])[] = [
  ["free", 0.8],
  ["plus", 0.15],
  ["pro", 0.05],
];
/** Running jobs of one account, as the product's tiers allow. */
export const TIER_RUNNING_MAX: Readonly<Record<string, number>> = { free: 1, plus: 3, pro: 10 };
/**
 * Nobody stays on a tier that could not carry their work: above this share of what its cap can run within the workload,
 * an account is on the next one. Below it tiers are drawn regardless of activity.
 */
export const TIER_USE_MAX = 0.5;

export const FAILED_SHARE = 0.015;

/** Base models and fine-tunes: the k-th most popular of 87 has weight (k + 1)^-1.78, so the top 10 % take 81 %. */
export const WEIGHTS_COUNT = 87;
export const WEIGHTS_EXPONENT = 1.78;
export const TOP_10_PERCENT_OF_WEIGHTS = 0.81;
/** An account keeps to a few weights. */
export const FAVOURITES: readonly (readonly [count: number, weight: number])[] = [
  [1, 0.56],
  [2, 0.23],
  [3, 0.11],
  [4, 0.1],
];

/** Within a session jobs follow each other by 67 s (median; quartiles 41 and 139 s), at the trace's own pace. */
export const GAP_MEDIAN_S = 67;
export const GAP_LOG_SIGMA = 0.9;
/**
 * The pace at which the trace offers this load to these devices: its silences shrink, and its gaps with them, so an
 * account's jobs come faster than they run and queue behind each other, exactly as when the trace itself is replayed.
 * What does not carry over is the trace's coefficient of variation between arrivals, 12: that is made by silent nights
 * over weeks (within its busy hours it is 1). An even workload has about 1.6, one with nights about 6.
 */
export const TRACE_TIME_SCALE = 6.1;
/**
 * Jobs of a session, and how many of them in a row ask for the same; from one up, evenly. Most accounts have fewer jobs
 * than that, so a session has 4.8 on average (4.6 in the trace, split at half an hour of silence).
 */
export const SESSION_JOBS_MAX = 25;
export const RUN_JOBS_MAX = 3;
/** Hourly peak over mean is 3.3: a day's rate is exp(2.05 cos), whose peak over mean is 3.3. */
export const DAY_CONCENTRATION = 2.05;

/** Share of jobs by size and length. */
export const CLASS_MIX: readonly (readonly [request: readonly [size: string, seconds: number], weight: number])[] = [
  [["832x480", 5], 0.597],
  [["832x480", 10], 0.072],
  [["1280x720", 5], 0.181],
  [["1280x720", 10], 0.116],
  [["1920x1080", 5], 0.019],
  [["1920x1080", 10], 0.015],
];
/** Share of jobs by denoising steps. */
export const STEP_MIX: readonly (readonly [steps: number, weight: number])[] = [
  [30, 0.917],
  [40, 0.05],
  [35, 0.016],
  [20, 0.009],
  [50, 0.008],
];
