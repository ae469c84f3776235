/**
 * The canvas of one picture size: which brush dab covers each pixel, and the relief of the paint. Still over time and
 * independent of the prompt, so it is laid out once a job.
 */
import { pcg, uniform, valueNoise } from "./noise.ts";
import { clamp, wave } from "./portable-math.ts";

export interface Canvas {
  readonly width: number;
  readonly height: number;
  readonly dabs: number;
  /** Centre of each dab, in pixels: x, y. */
  readonly centres: Float32Array;
  /** The dab on top at each pixel. */
  readonly dabAt: Uint32Array;
  /** Light on the paint, -1..1 in 127ths. */
  readonly relief: Int8Array;
}

const KEY = 0x0ca115;
const DAB_PIXELS_MIN = 4;
const DABS_ACROSS = 95;
const STRETCH = 1.9;
const TURN = 6.283185307179586;

export function layCanvas(width: number, height: number): Canvas {
  const spacing = Math.max(DAB_PIXELS_MIN, Math.min(width, height) / DABS_ACROSS);
  const columns = Math.ceil(width / spacing) + 2;
  const rows = Math.ceil(height / spacing) + 2;
  const dabs = layDabs(columns, rows, spacing);
  const dabAt = new Uint32Array(width * height);
  const relief = new Int8Array(width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = y * width + x;
      const [dab, edge, along] = topDab(dabs, columns, rows, spacing, x, y);
      const bristle = uniform(KEY + dab, Math.floor(along * 1.6 + 64)) - 0.5;
      dabAt[at] = dab;
      relief[at] = Math.round(clamp(0.75 * bristle + 0.7 * (0.62 - edge) * (1 - edge), -1, 1) * 127);
    }
  }
  return { width, height, dabs: columns * rows, centres: dabs.centres, dabAt, relief };
}

interface Dabs {
  readonly centres: Float32Array;
  readonly axes: Float32Array;
}

function layDabs(columns: number, rows: number, spacing: number): Dabs {
  const centres = new Float32Array(columns * rows * 2);
  const axes = new Float32Array(columns * rows * 2);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const i = row * columns + column;
      const x = (column - 0.5 + 0.9 * (uniform(KEY, 2 * i) - 0.5)) * spacing;
      const y = (row - 0.5 + 0.9 * (uniform(KEY, 2 * i + 1) - 0.5)) * spacing;
      const turn = 0.5 * (valueNoise(KEY + 3, column / 9, row / 9, 4096) - 0.5) + 0.12 * (uniform(KEY + 5, i) - 0.5);
      centres.set([x, y], 2 * i);
      axes.set([wave((turn + 0.25) * TURN), wave(turn * TURN)], 2 * i);
    }
  }
  return { centres, axes };
}

/** The nearest dab in its own stretched metric: its index, how near the rim (0..1), and the pixel's place across it. */
function topDab(
  dabs: Dabs,
  columns: number,
  rows: number,
  spacing: number,
  x: number,
  y: number,
): [number, number, number] {
  const column = Math.floor(x / spacing + 0.5);
  const row = Math.floor(y / spacing + 0.5);
  let best = 1e9;
  let top = 0;
  let across = 0;
  for (let r = Math.max(0, row - 1); r <= Math.min(rows - 1, row + 2); r++) {
    for (let c = Math.max(0, column - 2); c <= Math.min(columns - 1, column + 3); c++) {
      const i = r * columns + c;
      const dx = x - (dabs.centres[2 * i] as number);
      const dy = y - (dabs.centres[2 * i + 1] as number);
      const cos = dabs.axes[2 * i] as number;
      const sin = dabs.axes[2 * i + 1] as number;
      const u = (dx * cos + dy * sin) / STRETCH;
      const v = dy * cos - dx * sin;
      // A random height decides who lies on top where two dabs are about as near.
      const distance = u * u + v * v + 0.3 * spacing * spacing * ((pcg(i) & 255) / 255);
      if (distance >= best) continue;
      best = distance;
      top = i;
      across = v;
    }
  }
  return [top, clamp(best / (spacing * spacing), 0, 1), across];
}
