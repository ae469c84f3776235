/**
 * Published whole-job times and peak memory: the ground truth that every estimate starts from.
 *
 * A row holds the seconds of one video on `k` GPUs, encode and decode included, and the peak on each of them (null where
 * unpublished). Rows without a shape, a named GPU of ours, or a first-hand source were left out: Step-Video, Cosmos3,
 * MiniMax-H3, Open-Sora 2.0, LTX-2 and the distilled HunyuanVideo 1.5.
 */
export interface VideoShape {
  readonly width: number;
  readonly height: number;
  readonly frames: number;
}

export interface SeedRow {
  readonly model: string;
  readonly shape: VideoShape;
  readonly steps: number;
  readonly gpu: string;
  readonly k: number;
  readonly seconds: number;
  readonly peakGb: number | null;
  readonly source: string;
}

/** Seconds and peak GB by gang size. */
type ByGang = Readonly<Record<number, readonly [seconds: number, peakGb: number | null]>>;

const WAN22 = "Wan2.2 README, computational efficiency table";
const WAN21 = "Wan2.1 README, computational efficiency table";
const XDIT = "xDiT performance report; 60 GB minimum from the HunyuanVideo README";
const COG = "CogVideo README";
const OMNI = "vllm-omni pull request 1516";

const WIDE_480P = { width: 832, height: 480, frames: 81 };
const WIDE_720P = { width: 1280, height: 720, frames: 81 };

export const SEED_ROWS: readonly SeedRow[] = [
  ...measured("wan2.2-t2v-a14b", WIDE_480P, 40, WAN22, {
    "H100-80": { 1: [326.9, 41.3], 4: [91.7, 40.9], 8: [51.5, 26.3] },
    "A100-80": { 1: [785.7, 41.3], 4: [215.2, 40.9], 8: [119.9, 26.3] },
    "H20-96": { 1: [1133.9, 41.3], 4: [306.6, 40.9], 8: [170.5, 26.2] },
  }),
  ...measured("wan2.2-t2v-a14b", WIDE_720P, 40, WAN22, {
    "H100-80": { 1: [1041.5, 59.8], 4: [288.7, 51.7], 8: [155.1, 37.1] },
    "A100-80": { 1: [2735.7, 59.8], 4: [725.3, 51.7], 8: [386.7, 37.0] },
    "H20-96": { 1: [4048.7, 59.8], 4: [1067.8, 51.7], 8: [564.7, 37.0] },
  }),
  ...measured("wan2.2-ti2v-5b", { width: 1280, height: 704, frames: 121 }, 50, WAN22, {
    "RTX4090-24": { 1: [534.7, 22.9], 4: [231.3, 22.6], 8: [157.2, 22.6] },
  }),
  ...measured("wan2.1-t2v-1.3b", WIDE_480P, 50, WAN21, {
    "RTX4090-24": { 1: [261.4, 8.2], 2: [188.5, 18.1], 4: [120.8, 14.1], 8: [112.3, 12.2] },
  }),
  ...measured("wan2.1-t2v-14b", WIDE_720P, 50, WAN21, {
    "H100-80": { 1: [1837.9, 69.1], 2: [945.1, 53.9], 4: [497.0, 37.9], 8: [287.9, 29.9] },
    "A100-80": { 1: [3342.6, 69.1], 2: [1722.0, 52.5], 4: [886.1, 36.6], 8: [469.9, 28.6] },
    "H20-96": { 1: [6935.5, 69.1], 2: [3488.4, 53.9], 4: [1775.8, 37.9], 8: [980.5, 29.9] },
  }),
  ...measured("wan2.1-i2v-14b", WIDE_720P, 40, WAN21, {
    "H100-80": { 1: [1491.6, 76.7], 2: [753.9, 59.8], 4: [403.9, 41.9], 8: [238.8, 32.9] },
  }),
  ...measured("hunyuanvideo-13b", { width: 1280, height: 720, frames: 129 }, 50, XDIT, {
    "H100-80": { 1: [1904.1, 60], 2: [925.0, null], 4: [514.1, null], 8: [337.6, null] },
    "H20-96": { 1: [6639.2, null], 2: [3400.6, null], 4: [1762.9, null], 8: [941.0, null] },
    "L20-48": { 1: [6043.9, null], 2: [3271.4, null], 4: [2080.1, null] },
  }),
  ...measured("hunyuanvideo-1.5", { width: 832, height: 480, frames: 121 }, 50, OMNI, {
    "H200-141": { 1: [259.4, null] },
  }),
  ...measured("hunyuanvideo-1.5", { width: 832, height: 480, frames: 33 }, 30, OMNI, {
    "H200-141": { 1: [29.9, null] },
  }),
  ...measured("cogvideox-2b", { width: 720, height: 480, frames: 49 }, 50, COG, {
    "H100-80": { 1: [45, 18] },
    "A100-80": { 1: [90, 18] },
  }),
  ...measured("cogvideox-5b", { width: 720, height: 480, frames: 49 }, 50, COG, {
    "H100-80": { 1: [90, 26] },
    "A100-80": { 1: [180, 26] },
  }),
  ...measured("cogvideox1.5-5b", { width: 1360, height: 768, frames: 81 }, 50, COG, {
    "H100-80": { 1: [550, 76] },
    "A100-80": { 1: [1000, 76] },
  }),
];

export function isSameShape(a: VideoShape, b: VideoShape): boolean {
  return a.width === b.width && a.height === b.height && a.frames === b.frames;
}

function measured(
  model: string,
  shape: VideoShape,
  steps: number,
  source: string,
  byGpu: Readonly<Record<string, ByGang>>,
): readonly SeedRow[] {
  return Object.entries(byGpu).flatMap(([gpu, byGang]) =>
    Object.entries(byGang).map(([k, [seconds, peakGb]]) => ({
      model,
      shape,
      steps,
      gpu,
      k: Number(k),
      seconds,
      peakGb,
      source,
    })),
  );
}
