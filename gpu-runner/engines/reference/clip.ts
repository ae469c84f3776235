/**
 * The dictionary: K procedural clips of one scene, each a variant with its own layout and motion. `paintFrame` writes
 * all K clips at one latent time, so a long video never holds its whole dictionary in memory.
 */
import { CHANNELS, mixRgb, multiplyRgb, scaleRgb, toLatent } from "./colour.ts";
import { FRONT_VALUES, type Texture, paintTexture } from "./clip-texture.ts";
import type { Fall, Rgb } from "./lexicon.ts";
import { mixKeys, uniform } from "./noise.ts";
import { clamp, smoothstep, wave } from "./portable-math.ts";
import type { Scene } from "./prompt-scene.ts";
import { FLOATING, type Part, SILHOUETTES } from "./silhouette.ts";

export interface Grid {
  readonly width: number;
  readonly height: number;
  readonly frames: number;
}

export interface Clip {
  readonly key: number;
  readonly texture: Texture;
  readonly subject: { readonly x: number; readonly y: number; readonly size: number; readonly speed: number };
}

const TURN = 6.283185307179586;
/** Cells per latent frame: faster motion would ghost when frames are interpolated in time. */
const DRIFT_CELLS = 0.55;
const FALLING: Readonly<Record<Exclude<Fall, "none">, { dx: number; dy: number; colour: Rgb; share: number }>> = {
  snow: { dx: 0.25, dy: 0.8, colour: [1, 1, 1], share: 0.012 },
  rain: { dx: 0.2, dy: 1.6, colour: [0.7, 0.78, 0.88], share: 0.016 },
  petals: { dx: 0.6, dy: 0.5, colour: [0.98, 0.66, 0.6], share: 0.009 },
  embers: { dx: 0.2, dy: -0.8, colour: [1, 0.65, 0.2], share: 0.009 },
  bubbles: { dx: 0.05, dy: -0.6, colour: [0.75, 0.95, 1], share: 0.008 },
};

export function makeClips(scene: Scene, grid: Grid, count: number): Clip[] {
  return Array.from({ length: count }, (_, index) => makeClip(scene, grid, mixKeys(scene.key, index + 1)));
}

function makeClip(scene: Scene, grid: Grid, key: number): Clip {
  const texture = paintTexture(scene, key, grid.width, grid.height);
  const unit = Math.min(grid.width, grid.height * 1.1);
  const size = unit * scene.subject.scale * (0.24 + 0.09 * uniform(key, 61));
  const air = texture.horizon * (0.4 + 0.35 * uniform(key, 62));
  const land = Math.min(
    grid.height - size * 0.85,
    texture.horizon + (grid.height - texture.horizon) * (0.15 + 0.4 * uniform(key, 63)),
  );
  return {
    key,
    texture,
    subject: {
      x: grid.width * (0.28 + 0.44 * uniform(key, 64)),
      y: FLOATING.has(scene.subject.shape) ? air : land - size * 0.35,
      size,
      speed: scene.drift * (0.3 + 0.35 * uniform(key, 65)),
    },
  };
}

/** Writes clip `clip` at latent time `t` into `out` (one frame, interleaved channels). */
export function paintFrame(scene: Scene, clip: Clip, grid: Grid, t: number, out: Float32Array): void {
  paintLayers(scene, clip, grid, t, out);
  paintSubject(scene, clip, grid, t, out);
  if (scene.fall !== "none") paintFall(scene.fall, clip, grid, t, out);
}

function paintLayers(scene: Scene, clip: Clip, grid: Grid, t: number, out: Float32Array): void {
  const { width, height } = grid;
  const { back, front, horizon, crest } = clip.texture;
  const sea = scene.terrain.kind === "sea" || scene.terrain.kind === "deep";
  const sky = scene.drift * DRIFT_CELLS * 0.3 * t;
  for (let y = 0; y < height; y++) {
    scrollBack(back, out, y * width, width, sky);
    if (y < crest) continue;
    const depth = y < horizon ? 0 : (y - horizon) / (height - horizon);
    const sway = sea && y >= horizon ? (0.5 + 1.2 * depth) * wave(t * 0.35 + y * 0.7) : 0;
    blendFront(front, out, y * width, width, -scene.drift * DRIFT_CELLS * (0.25 + 1.5 * depth) * t + sway);
  }
}

function scrollBack(back: Float32Array, out: Float32Array, row: number, width: number, shift: number): void {
  const whole = Math.floor(shift);
  const fraction = shift - whole;
  let at = ((whole % width) + width) % width;
  for (let x = 0; x < width; x++) {
    const next = at + 1 === width ? 0 : at + 1;
    const a = (row + at) * CHANNELS;
    const b = (row + next) * CHANNELS;
    const to = (row + x) * CHANNELS;
    for (let c = 0; c < CHANNELS; c++) {
      const left = back[a + c] as number;
      out[to + c] = left + ((back[b + c] as number) - left) * fraction;
    }
    at = next;
  }
}

function blendFront(front: Float32Array, out: Float32Array, row: number, width: number, shift: number): void {
  const whole = Math.floor(shift);
  const fraction = shift - whole;
  let at = ((whole % width) + width) % width;
  for (let x = 0; x < width; x++) {
    const next = at + 1 === width ? 0 : at + 1;
    const a = (row + at) * FRONT_VALUES;
    const b = (row + next) * FRONT_VALUES;
    const to = (row + x) * CHANNELS;
    const alphaA = (front[a + CHANNELS] as number) * (1 - fraction);
    const alphaB = (front[b + CHANNELS] as number) * fraction;
    const rest = 1 - alphaA - alphaB;
    if (rest < 1) {
      for (let c = 0; c < CHANNELS; c++) {
        out[to + c] =
          (out[to + c] as number) * rest + (front[a + c] as number) * alphaA + (front[b + c] as number) * alphaB;
      }
    }
    at = next;
  }
}

function paintSubject(scene: Scene, clip: Clip, grid: Grid, t: number, out: Float32Array): void {
  const { shape, body, pale, dark } = scene.subject;
  const { size, speed } = clip.subject;
  const facing = scene.drift * (shape === "orbs" || shape === "house" || shape === "flower" ? 0 : 1) < 0 ? -1 : 1;
  const roams = shape !== "house" && shape !== "flower";
  const span = grid.width + 2 * size;
  const raw = clip.subject.x + (roams ? speed * t : 0) + size;
  const centre = raw - Math.floor(raw / span) * span - size;
  const gait = t * 0.11 + uniform(clip.key, 66);
  const bob = (FLOATING.has(shape) || shape === "boat" ? 0.1 : 0.025) * size * wave(gait * TURN * (roams ? 1 : 0));
  const light = mixRgb([1, 1, 1], scene.sky.tint, 0.6);
  const tones = { body, pale, dark, shade: scaleRgb(body, 0.72) };
  if (!FLOATING.has(shape)) paintShadow(scene, grid, centre, clip.subject.y + size * 0.78, size, out);
  for (const piece of SILHOUETTES[shape] as readonly Part[]) {
    const swing = piece.swing === undefined ? 0 : wave((gait + piece.swing) * TURN);
    const colour = multiplyRgb(tones[piece.tone], light);
    const x = centre + facing * size * (piece.x + 0.06 * swing);
    paintEllipse(
      grid,
      x,
      clip.subject.y + bob + size * (piece.y + 0.03 * swing),
      size * piece.rx,
      size * piece.ry,
      colour,
      1,
      out,
    );
  }
}

function paintShadow(scene: Scene, grid: Grid, x: number, y: number, size: number, out: Float32Array): void {
  const colour = multiplyRgb(scaleRgb(scene.terrain.near, 0.62), scene.sky.tint);
  paintEllipse(grid, x, y, size * 0.9, size * 0.11, colour, 0.55, out);
}

function paintEllipse(
  grid: Grid,
  x: number,
  y: number,
  radiusX: number,
  radiusY: number,
  colour: Rgb,
  opacity: number,
  out: Float32Array,
): void {
  const rx = Math.max(0.55, radiusX);
  const ry = Math.max(0.55, radiusY);
  // The soft rim is about one cell wide whatever the size, so edges neither alias nor blur away.
  const soft = clamp(1.6 / Math.min(rx, ry), 0.12, 0.9);
  const left = Math.max(0, Math.floor(x - rx * 1.5));
  const right = Math.min(grid.width - 1, Math.ceil(x + rx * 1.5));
  const bottom = Math.min(grid.height - 1, Math.ceil(y + ry * 1.5));
  for (let cellY = Math.max(0, Math.floor(y - ry * 1.5)); cellY <= bottom; cellY++) {
    for (let cellX = left; cellX <= right; cellX++) {
      const dx = (cellX - x) / rx;
      const dy = (cellY - y) / ry;
      const alpha = opacity * smoothstep(1 + soft, 1 - soft, dx * dx + dy * dy);
      if (alpha <= 0) continue;
      const shade = 1 - 0.16 * dy;
      const latent = toLatent(colour[0] * shade, colour[1] * shade, colour[2] * shade, 0.35);
      const to = (cellY * grid.width + cellX) * CHANNELS;
      for (let c = 0; c < CHANNELS; c++) {
        out[to + c] = (out[to + c] as number) * (1 - alpha) + (latent[c] as number) * alpha;
      }
    }
  }
}

function paintFall(fall: Exclude<Fall, "none">, clip: Clip, grid: Grid, t: number, out: Float32Array): void {
  const { dx, dy, colour, share } = FALLING[fall];
  const count = Math.ceil(grid.width * grid.height * share);
  for (let i = 0; i < count; i++) {
    const pace = 0.6 + 0.8 * uniform(clip.key, 3000 + i * 3);
    const x = uniform(clip.key, 3001 + i * 3) * grid.width + dx * pace * t + 0.8 * wave(t * 0.4 + i);
    const y = uniform(clip.key, 3002 + i * 3) * grid.height + dy * pace * t;
    const size = 0.35 + 0.35 * pace;
    paintEllipse(
      grid,
      wrap(x, grid.width),
      wrap(y, grid.height),
      size,
      size * (fall === "rain" ? 2 : 1),
      colour,
      0.75,
      out,
    );
  }
}

function wrap(value: number, period: number): number {
  return value - Math.floor(value / period) * period;
}
