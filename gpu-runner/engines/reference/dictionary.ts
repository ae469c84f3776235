/**
 * Frames of the dictionary on demand. Small videos keep every frame (each is read in every step); long ones keep a ring
 * of the latest and paint again, so memory does not grow with duration.
 */
import { CHANNELS } from "./colour.ts";
import { type Grid, makeClips, paintFrame } from "./clip.ts";
import { mix } from "./portable-math.ts";
import type { Scene } from "./prompt-scene.ts";

export const CLIPS_SMALL = 12;
export const CLIPS_LARGE = 24;
/** Grids with fewer cells (320x192 and alike) do with the smaller dictionary. */
export const LARGE_GRID_CELLS = 2_000;
const CACHE_BYTES_MAX = 160 * 1024 * 1024;
/** The reference image fades into the clips over this many latent frames, down to this share. */
const REFERENCE_FADE_FRAMES = 10;
const REFERENCE_SHARE_END = 0.35;

export interface Dictionary {
  readonly clips: number;
  /** All clips at latent frame `t`: `clips` planes of cells × channels. Valid until `ring` further frames were asked. */
  frame(t: number): Float32Array;
}

/** `reference` is one latent frame that every clip starts from, or null. */
export function makeDictionary(scene: Scene, grid: Grid, ring: number, reference: Float32Array | null): Dictionary {
  const cells = grid.width * grid.height;
  const count = cells < LARGE_GRID_CELLS ? CLIPS_SMALL : CLIPS_LARGE;
  const clips = makeClips(scene, grid, count);
  const plane = cells * CHANNELS;
  const slots = count * plane * grid.frames * 4 <= CACHE_BYTES_MAX ? grid.frames : Math.min(ring, grid.frames);
  const held: { t: number; data: Float32Array }[] = [];

  return {
    clips: count,
    frame(t) {
      const slot = (held[t % slots] ??= { t: -1, data: new Float32Array(count * plane) });
      if (slot.t === t) return slot.data;
      for (const [index, clip] of clips.entries()) {
        const out = slot.data.subarray(index * plane, (index + 1) * plane);
        paintFrame(scene, clip, grid, t, out);
        if (reference !== null) fadeReference(reference, t, out);
      }
      slot.t = t;
      return slot.data;
    },
  };
}

function fadeReference(reference: Float32Array, t: number, out: Float32Array): void {
  const share = mix(1, REFERENCE_SHARE_END, Math.min(1, t / REFERENCE_FADE_FRAMES));
  for (let i = 0; i < out.length; i++) out[i] = mix(out[i] as number, reference[i] as number, share);
}
