/**
 * Latents to pixels, one frame at a time: a smooth upscaling of the latent grid mixed with brush dabs that take the
 * colour under their centre, lit by the relief of the paint. Frames between latent frames are blended.
 */
import type { Canvas } from "./brush.ts";
import { CELL_FRAMES, CELL_PIXELS } from "./sampler.ts";
import { CHANNELS, writeRgb } from "./colour.ts";
import { BYTES_PER_PIXEL } from "../../mp4/encode-mp4.ts";
import type { Grid } from "./clip.ts";
import { uniform } from "./noise.ts";

const DAB_SHARE = 0.68;
const DAB_TONE = 16;
const RELIEF_GAIN = 15 / 127;

export interface Decoder {
  /** Paints frame `frame` as RGBA (opaque) into `out`. */
  paint(frame: number, out: Uint8ClampedArray): void;
}

export function makeDecoder(latents: Float32Array, grid: Grid, canvas: Canvas): Decoder {
  const plane = grid.width * grid.height * CHANNELS;
  const moment = new Float32Array(plane);
  const colours = new Float32Array(grid.width * grid.height * 3);
  const dabs = new Float32Array(canvas.dabs * 3);
  const row = new Float32Array((grid.width + 1) * 3);
  return {
    paint(frame, out) {
      interpolate(latents, plane, grid.frames, frame, moment);
      for (let cell = 0; cell * CHANNELS < plane; cell++) writeRgb(moment, cell * CHANNELS, colours, cell * 3);
      colourDabs(canvas, grid, moment, colours, dabs);
      for (let y = 0; y < canvas.height; y++) {
        upscaleRow(colours, grid, y, row);
        paintRow(canvas, dabs, row, grid.width, y, out);
      }
    },
  };
}

function interpolate(latents: Float32Array, plane: number, frames: number, frame: number, out: Float32Array): void {
  const before = Math.floor(frame / CELL_FRAMES);
  const share = frame / CELL_FRAMES - before;
  const a = before * plane;
  const b = Math.min(frames - 1, before + 1) * plane;
  for (let i = 0; i < plane; i++) {
    const left = latents[a + i] as number;
    out[i] = left + ((latents[b + i] as number) - left) * share;
  }
}

/** Each dab takes the colour under its centre; rough paint varies more from dab to dab. */
function colourDabs(canvas: Canvas, grid: Grid, moment: Float32Array, colours: Float32Array, dabs: Float32Array): void {
  for (let dab = 0; dab < canvas.dabs; dab++) {
    const x = Math.min(grid.width - 1, Math.max(0, (canvas.centres[2 * dab] as number) / CELL_PIXELS - 0.5));
    const y = Math.min(grid.height - 1, Math.max(0, (canvas.centres[2 * dab + 1] as number) / CELL_PIXELS - 0.5));
    const x0 = Math.floor(x);
    const y0 = Math.floor(y);
    const fx = x - x0;
    const fy = y - y0;
    const right = x0 + 1 < grid.width ? 3 : 0;
    const below = y0 + 1 < grid.height ? grid.width * 3 : 0;
    const at = (y0 * grid.width + x0) * 3;
    const tone =
      (uniform(0x7ab5, dab) - 0.5) * DAB_TONE * (0.5 + (moment[(y0 * grid.width + x0) * CHANNELS + 3] as number));
    for (let c = 0; c < 3; c++) {
      const i = at + c;
      const top = (colours[i] as number) * (1 - fx) + (colours[i + right] as number) * fx;
      const low = (colours[i + below] as number) * (1 - fx) + (colours[i + below + right] as number) * fx;
      dabs[dab * 3 + c] = (top * (1 - fy) + low * fy + tone) * DAB_SHARE;
    }
  }
}

/** Interpolates the colour grid at pixel row `y`, already scaled by the smooth share. */
function upscaleRow(colours: Float32Array, grid: Grid, y: number, row: Float32Array): void {
  const at = Math.min(grid.height - 1, Math.max(0, (y + 0.5) / CELL_PIXELS - 0.5));
  const top = Math.floor(at);
  const share = at - top;
  const a = top * grid.width * 3;
  const b = Math.min(grid.height - 1, top + 1) * grid.width * 3;
  const values = grid.width * 3;
  for (let i = 0; i < values; i++) {
    const above = colours[a + i] as number;
    row[i] = (above + ((colours[b + i] as number) - above) * share) * (1 - DAB_SHARE);
  }
  for (let c = 0; c < 3; c++) row[values + c] = row[values - 3 + c] as number;
}

function paintRow(
  canvas: Canvas,
  dabs: Float32Array,
  row: Float32Array,
  cellsAcross: number,
  y: number,
  out: Uint8ClampedArray,
): void {
  const { width, dabAt, relief } = canvas;
  for (let x = 0; x < width; x++) {
    const at = y * width + x;
    const place = Math.min(cellsAcross - 1, Math.max(0, (x + 0.5) / CELL_PIXELS - 0.5));
    const cell = Math.floor(place);
    const share = place - cell;
    const i = cell * 3;
    const d = (dabAt[at] as number) * 3;
    const light = (relief[at] as number) * RELIEF_GAIN;
    const to = at * BYTES_PER_PIXEL;
    const r = row[i] as number;
    const g = row[i + 1] as number;
    const b = row[i + 2] as number;
    out[to] = r + ((row[i + 3] as number) - r) * share + (dabs[d] as number) + light;
    out[to + 1] = g + ((row[i + 4] as number) - g) * share + (dabs[d + 1] as number) + light;
    out[to + 2] = b + ((row[i + 5] as number) - b) * share + (dabs[d + 2] as number) + light;
    out[to + 3] = 255;
  }
}
