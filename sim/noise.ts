/**
 * Chance without a stream: every draw is a hash of the seed and what it is for, so a job has the same luck under every
 * policy, and one more draw somewhere changes nothing elsewhere.
 */
export interface NoiseOptions {
  readonly seed: number;
  /** Standard deviation of the logarithm of true over estimated duration. */
  readonly estimateError: number;
  /** Share of attempts that run on a straggling gang, and how many times longer they take. */
  readonly stragglerShare: number;
  readonly stragglerFactor: number;
}

/** True duration of a job's work over its estimate, the same for all its attempts. */
export function workFactor({ seed, estimateError }: NoiseOptions, job: string): number {
  return estimateError === 0 ? 1 : Math.exp(estimateError * normal(seed, `work ${job}`));
}

export function stragglerFactor(options: NoiseOptions, job: string, epoch: number): number {
  if (options.stragglerShare === 0) return 1;
  const straggles = uniform(options.seed, `straggler ${job} ${epoch}`) < options.stragglerShare;
  return straggles ? options.stragglerFactor : 1;
}

/** Exponentially distributed; the n-th one of `what`. */
export function exponential(seed: number, what: string, mean: number): number {
  return -Math.log(1 - uniform(seed, what)) * mean;
}

/** In [0, 1). */
export function uniform(seed: number, what: string): number {
  let hash = 0x811c9dc5 ^ Math.imul(seed, 0x9e3779b1);
  for (let at = 0; at < what.length; at++) hash = Math.imul(hash ^ what.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}

function normal(seed: number, what: string): number {
  const radius = Math.sqrt(-2 * Math.log(1 - uniform(seed, `${what} radius`)));
  return radius * Math.cos(2 * Math.PI * uniform(seed, `${what} angle`));
}
