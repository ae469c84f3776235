/**
 * Flow matching with shifted sigmas and a two-step Adams-Bashforth history. The state after a step is `latents`,
 * `velocity` (the history) and the step number: nothing else, so saving those three resumes bit for bit.
 */
import { invariant } from "#protocol/invariant.ts";
import { CHANNELS } from "./colour.ts";
import type { Grid } from "./clip.ts";
import { type Dictionary, makeDictionary } from "./dictionary.ts";
import { fillNoise, mixKeys } from "./noise.ts";
import { WINDOW_FRAMES, posteriorMean } from "./posterior.ts";
import { readScene } from "./prompt-scene.ts";

export const CELL_PIXELS = 8;
export const CELL_FRAMES = 4;
const PAD_PIXELS = 16;
export const SIGMA_SHIFT = 3;
/** Names the method in checkpoints. */
export const SAMPLER = "flow-ab2";

export interface Picture {
  readonly prompt: string;
  readonly negativePrompt: string;
  readonly width: number;
  readonly height: number;
  readonly frames: number;
  readonly steps: number;
  readonly seed: number;
  /** The first latent frame to start from, or null. */
  readonly reference: Float32Array | null;
}

export interface SampleState {
  step: number;
  readonly latents: Float32Array;
  velocity: Float32Array<ArrayBuffer>;
}

export interface Sampler {
  readonly grid: Grid;
  readonly state: SampleState;
  /** Does step `state.step` and counts it. `times` > 1 repeats the same work and throws the rest away. */
  advance(times: number): Generator<void, void, void>;
  /** Lets go of the dictionary after the last step; only `state` may be used then. */
  finish(): void;
}

/** Sizes are padded to 16 pixels inside; the decoder crops. */
export function gridOf(width: number, height: number, frames: number): Grid {
  const pad = (pixels: number): number => (Math.ceil(pixels / PAD_PIXELS) * PAD_PIXELS) / CELL_PIXELS;
  return { width: pad(width), height: pad(height), frames: Math.ceil((frames - 1) / CELL_FRAMES) + 1 };
}

export function latentValues(grid: Grid): number {
  return grid.width * grid.height * grid.frames * CHANNELS;
}

/** Noise level before step `step`; 1 at the start, 0 after the last. */
export function sigmaAt(step: number, steps: number): number {
  const rest = 1 - step / steps;
  return (SIGMA_SHIFT * rest) / (1 + (SIGMA_SHIFT - 1) * rest);
}

export function makeSampler(picture: Picture, saved: SampleState | null): Sampler {
  const grid = gridOf(picture.width, picture.height, picture.frames);
  const scene = readScene(picture.prompt, picture.negativePrompt);
  // The seed deals the variants of the prompt's scene as well as the noise, so two seeds never share a layout.
  const dealt = { ...scene, key: mixKeys(scene.key, picture.seed) };
  let dictionary: Dictionary | null = makeDictionary(dealt, grid, WINDOW_FRAMES + 1, picture.reference);
  const state = saved ?? freshState(grid, picture.seed);
  return {
    grid,
    state,
    finish() {
      dictionary = null;
    },
    *advance(times) {
      invariant(dictionary !== null, "a finished sampler takes no step");
      for (let again = 1; again < times; again++) yield* step(picture.steps, grid, dictionary, state, false);
      yield* step(picture.steps, grid, dictionary, state, true);
      state.step++;
      // The history is of no use after the last step; the decoder can have its memory.
      if (state.step === picture.steps) state.velocity = release(state.velocity);
    },
  };
}

/** What the state says of the finished picture: where the last step's direction leads. Not for a state after the last step. */
export function expectedOf({ step, latents, velocity }: SampleState, steps: number): Float32Array {
  const sigma = sigmaAt(step, steps);
  return latents.map((x, i) => x - sigma * (velocity[i] as number));
}

/** Gives the memory back at once instead of at some later collection. */
function release(values: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  return new Float32Array(values.buffer.transfer(0));
}

function freshState(grid: Grid, seed: number): SampleState {
  const latents = new Float32Array(latentValues(grid));
  fillNoise(latents, seed);
  return { step: 0, latents, velocity: new Float32Array(latents.length) };
}

function step(steps: number, grid: Grid, dictionary: Dictionary, state: SampleState, keep: boolean) {
  const { latents, velocity } = state;
  const sigma = sigmaAt(state.step, steps);
  const next = sigmaAt(state.step + 1, steps);
  const stride = next - sigma;
  const before = state.step === 0 ? stride : sigma - sigmaAt(state.step - 1, steps);
  // Euler where there is no history, and to land exactly on the posterior mean at sigma 0.
  const pull = state.step === 0 || next === 0 ? 0 : stride / (2 * before);
  return posteriorMean(latents, grid, dictionary, sigma, (t, mean) => {
    if (!keep) return;
    const base = t * mean.length;
    for (let i = 0; i < mean.length; i++) {
      const x = latents[base + i] as number;
      const v = (x - (mean[i] as number)) / sigma;
      latents[base + i] = x + stride * (v + pull * (v - (velocity[base + i] as number)));
      velocity[base + i] = v;
    }
  });
}
