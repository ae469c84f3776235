/**
 * The still layers of one procedural clip, on the latent grid and periodic in x so they can scroll: `back` is the sky
 * (opaque), `front` the land (with alpha as a fifth value).
 */
import { type Latent, CHANNELS, mixRgb, multiplyRgb, toLatent } from "./colour.ts";
import type { Rgb, Sky, Terrain } from "./lexicon.ts";
import { fractalNoise, uniform } from "./noise.ts";
import { clamp, mix, smoothstep, wave } from "./portable-math.ts";
import type { Scene } from "./prompt-scene.ts";

export const FRONT_VALUES = CHANNELS + 1;

export interface Texture {
  readonly back: Float32Array;
  readonly front: Float32Array;
  /** Row of the horizon, and how far above it land may reach. */
  readonly horizon: number;
  readonly crest: number;
}

export function paintTexture(scene: Scene, key: number, width: number, height: number): Texture {
  const lift = scene.terrain.kind === "sea" || scene.terrain.kind === "plain" ? 0.05 : 0;
  const horizon = height * (0.5 + lift + 0.14 * uniform(key, 1));
  const reach = height * REACH[scene.terrain.kind];
  const back = new Float32Array(width * height * CHANNELS);
  const front = new Float32Array(width * height * FRONT_VALUES);
  const sun = placeSun(key, width, horizon, height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      back.set(skyAt(scene.sky, key, x / width, y, width, horizon, sun, x), (y * width + x) * CHANNELS);
      const land = landAt(scene.terrain, scene.sky, key, x, y, width, height, horizon, reach);
      if (land !== null) front.set(land, (y * width + x) * FRONT_VALUES);
    }
  }
  return { back, front, horizon, crest: Math.max(0, Math.floor(horizon - reach) - 2) };
}

const REACH = { plain: 0.12, sea: 0.03, forest: 0.5, city: 0.42, mountain: 0.36, space: 0, deep: 0.1 } as const;

interface Sun {
  readonly x: number;
  readonly y: number;
  readonly radius: number;
}

function placeSun(key: number, width: number, horizon: number, height: number): Sun {
  return {
    x: width * (0.15 + 0.7 * uniform(key, 2)),
    y: horizon * (0.3 + 0.45 * uniform(key, 3)),
    radius: Math.min(width, height) * (0.055 + 0.035 * uniform(key, 4)),
  };
}

function skyAt(
  sky: Sky,
  key: number,
  u: number,
  y: number,
  width: number,
  horizon: number,
  sun: Sun,
  x: number,
): Latent {
  const depth = clamp(y / horizon, 0, 1.2);
  let colour = mixRgb(sky.top, sky.horizon, depth * depth * (0.55 + 0.45 * depth));
  const cloud = fractalNoise(key + 11, u, (y / width) * 2.2 + 3, 3, 4);
  const cover = smoothstep(0.78 - 0.42 * sky.cloudiness, 0.88 - 0.2 * sky.cloudiness, cloud);
  colour = mixRgb(colour, sky.cloud, cover * 0.75 * (1 - 0.4 * depth));
  const dx = x - sun.x;
  const dy = y - sun.y;
  const distance = Math.sqrt(dx * dx + dy * dy) / sun.radius;
  const glow = 1 / (1 + distance * distance * 0.35);
  const disk = smoothstep(1.25, 0.85, distance) * (1 - 0.6 * cover);
  colour = mixRgb(colour, sky.light, clamp(0.55 * glow + disk, 0, 1));
  if (sky.stars > 0 && uniform(key, Math.floor(x) * 977 + y * 131 + 7000) > 1 - 0.018 * sky.stars) {
    colour = mixRgb(colour, [1, 1, 0.95], 0.85 * (1 - cover));
  }
  return toLatent(colour[0], colour[1], colour[2], 0.3 + 0.35 * cover);
}

/** Land at a cell, or null where the sky shows. */
function landAt(
  terrain: Terrain,
  sky: Sky,
  key: number,
  x: number,
  y: number,
  width: number,
  height: number,
  horizon: number,
  reach: number,
): readonly number[] | null {
  if (terrain.kind === "space") return null;
  const u = x / width;
  const top = horizon - reach * ridgeAt(terrain, key, u, x, width);
  const alpha = smoothstep(top - 0.8, top + 0.8, y);
  if (alpha <= 0) return null;
  const colour =
    y < horizon
      ? ridgeColour(terrain, sky, key, x, y, top, horizon)
      : groundColour(terrain, sky, key, u, y, horizon, height, width);
  const lit = multiplyRgb(colour, y < horizon && terrain.kind === "city" && sky.stars > 0 ? [1, 1, 1] : sky.tint);
  return [...toLatent(lit[0], lit[1], lit[2], y < horizon ? 0.5 : 0.4 + terrain.roughness), alpha];
}

/** Height of the land above the horizon as a share of its reach. */
function ridgeAt(terrain: Terrain, key: number, u: number, x: number, width: number): number {
  if (terrain.kind === "city") {
    const block = Math.floor((x / width) * 22 + 0.3 * uniform(key, 90));
    return 0.25 + 0.75 * uniform(key, 100 + (block % 22));
  }
  if (terrain.kind === "forest") {
    const crown = wave(u * 6.2831853 * 17 + 6 * uniform(key, 91));
    return 0.5 + 0.32 * fractalNoise(key + 23, u, 1, 9, 3) + 0.13 * crown;
  }
  if (terrain.kind === "sea") return fractalNoise(key + 29, u, 1, 3, 3) > 0.56 ? 1 : 0;
  const ridge = fractalNoise(key + 31, u, 1, terrain.kind === "mountain" ? 4 : 3, 5);
  return terrain.kind === "mountain" ? clamp((ridge - 0.2) * 1.7, 0, 1) : ridge;
}

function ridgeColour(terrain: Terrain, sky: Sky, key: number, x: number, y: number, top: number, horizon: number): Rgb {
  const depth = (y - top) / Math.max(1, horizon - top);
  const haze = mixRgb(terrain.ridge, sky.horizon, 0.25 + 0.3 * depth);
  if (terrain.kind === "city") {
    const lit = uniform(key, 5000 + Math.floor(x / 2) * 61 + Math.floor(y / 2) * 17) > (sky.stars > 0 ? 0.74 : 0.92);
    return lit
      ? mixRgb([1, 0.8, 0.42], [0.45, 0.85, 1], uniform(key, Math.floor(x / 5) + 900) > 0.75 ? 1 : 0)
      : multiplyRgb(haze, sky.tint);
  }
  if (terrain.kind === "forest") {
    const trunk = fractalNoise(key + 37, x / 97, 0.5, 40, 1);
    return depth > 0.45 && trunk > 0.6
      ? mixRgb([0.28, 0.2, 0.14], haze, 0.25)
      : mixRgb(terrain.ridge, haze, 0.35 + 0.4 * trunk);
  }
  if (terrain.kind === "mountain" && depth < 0.3) return mixRgb([0.95, 0.97, 1], haze, depth * 2.2);
  return haze;
}

function groundColour(
  terrain: Terrain,
  sky: Sky,
  key: number,
  u: number,
  y: number,
  horizon: number,
  height: number,
  width: number,
): Rgb {
  const depth = clamp((y - horizon) / Math.max(1, height - horizon), 0, 1);
  const grain = fractalNoise(key + 41, u, (y / width) * (10 - 5 * depth), terrain.kind === "sea" ? 5 : 7, 4) - 0.5;
  let colour = mixRgb(terrain.far, terrain.near, depth);
  if (terrain.kind === "sea") {
    const crest = smoothstep(0.08, 0.24, grain + 0.06 * wave(y * 1.9 + u * 12.5663706));
    colour = mixRgb(mixRgb(colour, sky.horizon, 0.4 * (1 - depth)), [0.92, 0.97, 1], crest * (0.3 + 0.4 * depth));
  }
  const shade = 1 + grain * terrain.roughness * mix(0.9, 1.6, depth);
  return [colour[0] * shade, colour[1] * shade, colour[2] * (shade + 0.02)];
}
