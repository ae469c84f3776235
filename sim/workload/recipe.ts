/** The named workloads as data: how each differs from the steady one. */
import { CLASS_MIX, STEP_MIX, WEIGHTS_COUNT, WEIGHTS_EXPONENT } from "./calibration.ts";

export interface Recipe {
  /** Before extra crowds; with 6.2 jobs each on average. */
  readonly accounts: number;
  /** Cycles of day and night; 0 for an even rate. */
  readonly days: number;
  readonly classMix: typeof CLASS_MIX;
  /** Engine models in the order of popularity of their weights, again and again. */
  readonly models: readonly ModelUse[];
  readonly weightsCount: number;
  readonly weightsExponent: number;
  /** Many new accounts for a part of the time, at a multiple of the mean rate. */
  readonly spike: { readonly fromPart: number; readonly part: number; readonly factor: number } | null;
  /** One account that submits this share of all jobs within a part of the time. */
  readonly flood: { readonly share: number; readonly fromPart: number; readonly part: number } | null;
}

export interface ModelUse {
  readonly model: string;
  readonly stepMix: typeof STEP_MIX;
}

const A14B: ModelUse = { model: "wan2.2-t2v-a14b", stepMix: STEP_MIX };
/** Step-distilled: 6 steps without guidance for 40 with, a factor of 13 in denoising work. */
const DISTILLED: ModelUse = { model: "wan2.2-t2v-a14b-distilled", stepMix: [[6, 1]] };
const WAN21: ModelUse = { model: "wan2.1-t2v-14b", stepMix: STEP_MIX };
const SMALL: ModelUse = { model: "wan2.1-t2v-1.3b", stepMix: STEP_MIX };

/** The only model asked for a minute of video: six chained segments, so each of its 6 steps is one segment. */
export const FILM_MODEL = DISTILLED;
export const FILM_SECONDS = 60;

const STEADY: Recipe = {
  accounts: 600,
  days: 0,
  classMix: CLASS_MIX,
  models: [A14B, DISTILLED],
  weightsCount: WEIGHTS_COUNT,
  weightsExponent: WEIGHTS_EXPONENT,
  spike: null,
  flood: null,
};

export const RECIPES: ReadonlyMap<string, Recipe> = new Map<string, Recipe>([
  ["steady", STEADY],
  ["diurnal", { ...STEADY, days: 2 }],
  ["viral-spike", { ...STEADY, accounts: 500, spike: { fromPart: 0.35, part: 0.04, factor: 6 } }],
  ["noisy-neighbour", { ...STEADY, accounts: 500, flood: { share: 0.2, fromPart: 0.2, part: 0.05 } }],
  [
    "gang-heavy",
    {
      ...STEADY,
      accounts: 300,
      classMix: [
        [["832x480", 5], 0.5],
        [["832x480", 10], 0.08],
        [["1280x720", 5], 0.2],
        [["1280x720", 10], 0.1],
        [["1920x1080", 5], 0.03],
        [["1920x1080", 10], 0.04],
        [["1920x1080", FILM_SECONDS], 0.05],
      ],
    },
  ],
  [
    "cold-models",
    {
      ...STEADY,
      accounts: 800,
      models: [DISTILLED, SMALL, A14B, DISTILLED, SMALL, WAN21],
      weightsCount: 400,
      weightsExponent: 0.5,
    },
  ],
]);
