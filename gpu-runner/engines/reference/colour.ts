/** The latent's four channels: brightness, two colour differences, and how rough the paint lies. All near -1..1. */
import type { Rgb } from "./lexicon.ts";

export const CHANNELS = 4;

const RED_WEIGHT = 0.299;
const GREEN_WEIGHT = 0.587;
const BLUE_WEIGHT = 0.114;
const CHROMA_GAIN = 1.2;

export type Latent = readonly [number, number, number, number];

export function toLatent(red: number, green: number, blue: number, roughness: number): Latent {
  const luma = RED_WEIGHT * red + GREEN_WEIGHT * green + BLUE_WEIGHT * blue;
  return [2 * luma - 1, (blue - luma) * CHROMA_GAIN, (red - luma) * CHROMA_GAIN, roughness];
}

/** Writes linear 0..255 red, green, blue of the latent at `from` into `out` at `to`; not clamped. */
export function writeRgb(latents: Float32Array, from: number, out: Float32Array, to: number): void {
  const luma = ((latents[from] as number) + 1) * 0.5;
  const blue = luma + (latents[from + 1] as number) / CHROMA_GAIN;
  const red = luma + (latents[from + 2] as number) / CHROMA_GAIN;
  out[to] = red * 255;
  out[to + 1] = ((luma - RED_WEIGHT * red - BLUE_WEIGHT * blue) / GREEN_WEIGHT) * 255;
  out[to + 2] = blue * 255;
}

export function scaleRgb(colour: Rgb, gain: number): Rgb {
  return [colour[0] * gain, colour[1] * gain, colour[2] * gain];
}

export function mixRgb(a: Rgb, b: Rgb, t: number): Rgb {
  return [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t];
}

export function multiplyRgb(a: Rgb, b: Rgb): Rgb {
  return [a[0] * b[0], a[1] * b[1], a[2] * b[2]];
}
