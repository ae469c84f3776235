/**
 * The denoiser: the exact posterior mean over the dictionary, given the noisy latents in a window around each cell.
 *
 * At noise level sigma a clean clip d would be seen as (1 - sigma) d + sigma ε, so the log-likelihood of clip k in a
 * window is, up to a constant, Σ a (2 x·d − a d·d) / (2 sigma²) with a = 1 − sigma. Far from the picture the window is the whole
 * video (one layout wins), then it shrinks with sigma, so places settle on their own.
 */
import { CHANNELS } from "./colour.ts";
import type { Grid } from "./clip.ts";
import type { Dictionary } from "./dictionary.ts";
import { expNegative } from "./portable-math.ts";

/** Above this sigma the window is the whole video. */
export const GLOBAL_SIGMA = 0.8;
/** Latent frames before and after that a local window sees. */
export const WINDOW_FRAMES = 2;
const WINDOW_SHARE = 0.6;
/** Weights below e^-14 of the best do not change a pixel. */
const LOG_WEIGHT_MIN = -14;

/** Called once per latent frame, in order, with the posterior mean of that frame. */
export type Visit = (t: number, mean: Float32Array) => void;

/** Yields after each latent frame of work, so the caller may breathe; `visit` may overwrite the frame it is given. */
export function posteriorMean(
  latents: Float32Array,
  grid: Grid,
  dictionary: Dictionary,
  sigma: number,
  visit: Visit,
): Generator<void, void, void> {
  return sigma > GLOBAL_SIGMA
    ? globalMean(latents, grid, dictionary, sigma, visit)
    : localMean(latents, grid, dictionary, sigma, visit);
}

function* globalMean(latents: Float32Array, grid: Grid, dictionary: Dictionary, sigma: number, visit: Visit) {
  const plane = grid.width * grid.height * CHANNELS;
  const a = 1 - sigma;
  const scores = new Float64Array(dictionary.clips);
  for (let t = 0; t < grid.frames; t++) {
    const clips = dictionary.frame(t);
    const noisy = latents.subarray(t * plane, (t + 1) * plane);
    for (let k = 0; k < dictionary.clips; k++) scores[k] = (scores[k] as number) + likeness(noisy, clips, k * plane, a);
    yield;
  }
  const best = scores.reduce((most, score) => Math.max(most, score));
  const weights = scores.map((score) => expNegative((score - best) / (2 * sigma * sigma)));
  const total = weights.reduce((sum, weight) => sum + weight);
  const mean = new Float32Array(plane);
  for (let t = 0; t < grid.frames; t++) {
    const clips = dictionary.frame(t);
    mean.fill(0);
    for (let k = 0; k < dictionary.clips; k++) {
      const share = (weights[k] as number) / total;
      if (share > 1e-6) addScaled(clips, k * plane, share, mean);
    }
    visit(t, mean);
    yield;
  }
}

function* localMean(latents: Float32Array, grid: Grid, dictionary: Dictionary, sigma: number, visit: Visit) {
  const cells = grid.width * grid.height;
  const { clips: count } = dictionary;
  const radius = 1 + Math.floor(WINDOW_SHARE * Math.max(grid.width, grid.height) * sigma * sigma * sigma);
  const slots = Array.from({ length: 2 * WINDOW_FRAMES + 1 }, () => new Float32Array(count * cells));
  const box = makeBox(grid, radius);
  const mean = new Float32Array(cells * CHANNELS);
  const scratch = {
    scores: new Float32Array(count * cells),
    best: new Float32Array(cells),
    total: new Float32Array(cells),
  };
  let scored = 0;
  for (let t = 0; t < grid.frames; t++) {
    for (; scored < grid.frames && scored <= t + WINDOW_FRAMES; scored++) {
      scoreFrame(latents, cells, scored, dictionary, sigma, box, slots[scored % slots.length] as Float32Array);
    }
    const from = Math.max(0, t - WINDOW_FRAMES);
    const to = Math.min(grid.frames - 1, t + WINDOW_FRAMES);
    sumSlots(slots, from, to, scratch.scores);
    weigh(dictionary.frame(t), count, cells, scratch, mean);
    visit(t, mean);
    yield;
  }
}

/** Σ a (2 x·d − a d·d) over a frame. */
function likeness(noisy: Float32Array, clips: Float32Array, from: number, a: number): number {
  let sum = 0;
  for (let i = 0; i < noisy.length; i++) {
    const d = clips[from + i] as number;
    sum += d * (2 * (noisy[i] as number) - a * d);
  }
  return sum * a;
}

function addScaled(source: Float32Array, from: number, share: number, out: Float32Array): void {
  for (let i = 0; i < out.length; i++) out[i] = (out[i] as number) + (source[from + i] as number) * share;
}

function scoreFrame(
  latents: Float32Array,
  cells: number,
  t: number,
  dictionary: Dictionary,
  sigma: number,
  box: Box,
  out: Float32Array,
): void {
  const clips = dictionary.frame(t);
  const a = 1 - sigma;
  const gain = a / (2 * sigma * sigma);
  const base = t * cells * CHANNELS;
  for (let k = 0; k < dictionary.clips; k++) {
    const from = k * cells * CHANNELS;
    const { map } = box;
    for (let cell = 0; cell < cells; cell++) {
      const i = base + cell * CHANNELS;
      const j = from + cell * CHANNELS;
      const d0 = clips[j] as number;
      const d1 = clips[j + 1] as number;
      const d2 = clips[j + 2] as number;
      const d3 = clips[j + 3] as number;
      const dot =
        d0 * (2 * (latents[i] as number) - a * d0) +
        d1 * (2 * (latents[i + 1] as number) - a * d1) +
        d2 * (2 * (latents[i + 2] as number) - a * d2) +
        d3 * (2 * (latents[i + 3] as number) - a * d3);
      map[cell] = dot * gain;
    }
    sumBox(box, out, k * cells);
  }
}

interface Box {
  readonly width: number;
  readonly height: number;
  readonly radius: number;
  readonly map: Float32Array;
  readonly rows: Float32Array;
  readonly columns: Float64Array;
}

function makeBox(grid: Grid, radius: number): Box {
  const cells = grid.width * grid.height;
  return {
    width: grid.width,
    height: grid.height,
    radius,
    map: new Float32Array(cells),
    rows: new Float32Array(cells),
    columns: new Float64Array(grid.width),
  };
}

/** Sums `box.map` over the square window around each cell by running sums: the cost does not depend on the radius. */
function sumBox(box: Box, out: Float32Array, to: number): void {
  const { width, height, radius, map, rows, columns } = box;
  for (let y = 0; y < height; y++) {
    const row = y * width;
    let sum = 0;
    for (let x = 0; x < Math.min(radius, width); x++) sum += map[row + x] as number;
    for (let x = 0; x < width; x++) {
      if (x + radius < width) sum += map[row + x + radius] as number;
      if (x - radius - 1 >= 0) sum -= map[row + x - radius - 1] as number;
      rows[row + x] = sum;
    }
  }
  columns.fill(0);
  for (let y = 0; y < Math.min(radius, height); y++) addRow(rows, y * width, 1, columns);
  for (let y = 0; y < height; y++) {
    if (y + radius < height) addRow(rows, (y + radius) * width, 1, columns);
    if (y - radius - 1 >= 0) addRow(rows, (y - radius - 1) * width, -1, columns);
    const row = to + y * width;
    for (let x = 0; x < width; x++) out[row + x] = columns[x] as number;
  }
}

function addRow(rows: Float32Array, from: number, sign: number, columns: Float64Array): void {
  for (let x = 0; x < columns.length; x++) columns[x] = (columns[x] as number) + sign * (rows[from + x] as number);
}

function sumSlots(slots: readonly Float32Array[], from: number, to: number, out: Float32Array): void {
  out.set(slots[from % slots.length] as Float32Array);
  for (let t = from + 1; t <= to; t++) {
    const slot = slots[t % slots.length] as Float32Array;
    for (let i = 0; i < out.length; i++) out[i] = (out[i] as number) + (slot[i] as number);
  }
}

interface Scratch {
  readonly scores: Float32Array;
  readonly best: Float32Array;
  readonly total: Float32Array;
}

/** Softmax over the clips in every cell, and the mean it gives. */
function weigh(clips: Float32Array, count: number, cells: number, scratch: Scratch, mean: Float32Array): void {
  const { scores, best, total } = scratch;
  best.set(scores.subarray(0, cells));
  for (let k = 1; k < count; k++) {
    for (let cell = 0; cell < cells; cell++) {
      const score = scores[k * cells + cell] as number;
      if (score > (best[cell] as number)) best[cell] = score;
    }
  }
  total.fill(0);
  mean.fill(0);
  for (let k = 0; k < count; k++) {
    for (let cell = 0; cell < cells; cell++) {
      const gap = (scores[k * cells + cell] as number) - (best[cell] as number);
      if (gap < LOG_WEIGHT_MIN) continue;
      const weight = expNegative(gap);
      const from = (k * cells + cell) * CHANNELS;
      const to = cell * CHANNELS;
      total[cell] = (total[cell] as number) + weight;
      for (let c = 0; c < CHANNELS; c++) mean[to + c] = (mean[to + c] as number) + weight * (clips[from + c] as number);
    }
  }
  for (let cell = 0; cell < cells; cell++) {
    const share = 1 / (total[cell] as number);
    for (let c = 0; c < CHANNELS; c++) mean[cell * CHANNELS + c] = (mean[cell * CHANNELS + c] as number) * share;
  }
}
