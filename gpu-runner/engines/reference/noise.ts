/**
 * Seeded randomness by counter: every value is a PCG permutation (RXS-M-XS, 32 bits) of (key, index), so there is no
 * generator state to checkpoint and any host draws the same numbers.
 */

export function pcg(input: number): number {
  const state = (Math.imul(input, 747796405) + 2891336453) | 0;
  const word = Math.imul((state >>> ((state >>> 28) + 4)) ^ state, 277803737);
  return ((word >>> 22) ^ word) >>> 0;
}

/** A 32-bit key out of two; order matters. */
export function mixKeys(a: number, b: number): number {
  return pcg((pcg(a) ^ Math.imul(b | 0, 0x9e3779b1)) | 0);
}

/** Uniform in [0, 1). */
export function uniform(key: number, index: number): number {
  return pcg((key ^ pcg(index)) | 0) / 4294967296;
}

/** FNV-1a over UTF-16 units, then permuted. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return pcg(hash);
}

const IRWIN_HALL_MEAN = 2 * 65535;
const IRWIN_HALL_SCALE = Math.sqrt(3) / 65536;

/** Fills `out` with near-normal noise of mean 0 and variance 1 (a sum of four uniforms: bounded, no logarithm needed). */
export function fillNoise(out: Float32Array, seed: number): void {
  const keyA = mixKeys(seed, 0x51ed27);
  const keyB = mixKeys(seed, 0x2c1b3c);
  for (let i = 0; i < out.length; i++) {
    const a = pcg(keyA ^ pcg(i));
    const b = pcg(keyB ^ pcg(i ^ 0x5bd1e995));
    out[i] = ((a >>> 16) + (a & 0xffff) + (b >>> 16) + (b & 0xffff) - IRWIN_HALL_MEAN) * IRWIN_HALL_SCALE;
  }
}

/** Value noise in [0, 1] on a lattice that repeats every `period` cells in x, so a texture can scroll for ever. */
export function valueNoise(key: number, x: number, y: number, period: number): number {
  const cellX = Math.floor(x);
  const cellY = Math.floor(y);
  const fx = x - cellX;
  const fy = y - cellY;
  const sx = fx * fx * (3 - 2 * fx);
  const sy = fy * fy * (3 - 2 * fy);
  const x0 = ((cellX % period) + period) % period;
  const x1 = (x0 + 1) % period;
  const top = lattice(key, x0, cellY) * (1 - sx) + lattice(key, x1, cellY) * sx;
  const bottom = lattice(key, x0, cellY + 1) * (1 - sx) + lattice(key, x1, cellY + 1) * sx;
  return top * (1 - sy) + bottom * sy;
}

/** Octaves of value noise, in [0, 1]; `x` in [0, 1) is one period. */
export function fractalNoise(key: number, x: number, y: number, cells: number, octaves: number): number {
  let sum = 0;
  let weight = 0.5;
  let total = 0;
  for (let octave = 0; octave < octaves; octave++) {
    const period = cells * 2 ** octave;
    sum += weight * valueNoise(key + octave * 7919, x * period, y * period, period);
    total += weight;
    weight *= 0.5;
  }
  return sum / total;
}

function lattice(key: number, x: number, y: number): number {
  return pcg(key ^ pcg(x + Math.imul(y, 8191))) / 4294967296;
}
