/**
 * The models the tables know: what the scaling law needs of each, its stages outside the denoising loop, its memory and
 * its load time. A model without a `transformer` is known only at the shapes somebody measured.
 */
export interface Transformer {
  readonly frameStride: number;
  /** Pixels of one token's side: the autoencoder's stride x the patch. */
  readonly patchPixels: number;
  /** Text that takes part in the attention beside the video; 0 where it is attended to crosswise. */
  readonly textTokens: number;
  readonly linearPerToken: number;
  readonly attentionPerTokenPair: number;
}

export interface ModelSpec {
  readonly fps: number;
  readonly transformer: Transformer | null;
  /** Forward passes a step: 2 with classifier-free guidance, 1 when the guidance is distilled or embedded. */
  readonly passes: number;
  /** Whose rows calibrate this model, if not its own. */
  readonly rowsOf: string | null;
  /** Text (and image) encoding, and decoding per output pixel, as on an H100. */
  readonly encodeSeconds: number;
  readonly decodeNanosPerPixel: number;
  /** What stays resident however small the video is. */
  readonly weightsGb: number;
  readonly loadSeconds: number;
  readonly loadSource: string;
  /** Equal results after a stop at any step were shown (or need no state but the step's index and latents). */
  readonly resume: "exact" | "none";
  /** Resolution bucket to the size it stands for, where that differs from the common one. */
  readonly sizes: Readonly<Record<string, readonly [width: number, height: number]>>;
}

/** 0.07 s of text and 2.4 s of decode for 832x480x81 on an H800 (stage shares of Wan2.2 480p, vLLM-Omni). */
const WAN_ENCODE_S = 0.07;
const WAN_DECODE_NS = 74.2;

/** Wan2.2-A14B, 64.5 GiB on an H800: 56 s with four reader threads (283 s with one). */
const LOAD_A14B = { loadSeconds: 56, loadSource: "vLLM-Omni: 64.5 GiB, four reader threads, H800" };
/** GenTD26: base-model load p50 22.7 s, p95 45.4 s over 87 models in production. */
const LOAD_MEDIAN = {
  loadSeconds: 22.7,
  loadSource: "GenTD26 trace: median base-model load; no figure for this model",
};
/** The A14B files less 28 G parameters at two bytes: text encoder and autoencoder of the Wan family. */
const WAN_ENCODERS_GIB = 12.3;
const LOAD_GIB_PER_S = 64.5 / 56;

const WAN_14B: Omit<ModelSpec, "weightsGb" | "loadSeconds" | "loadSource"> = {
  fps: 16,
  transformer: wanTransformer(40, 5120, 13_824, 16),
  passes: 2,
  rowsOf: null,
  encodeSeconds: WAN_ENCODE_S,
  decodeNanosPerPixel: WAN_DECODE_NS,
  resume: "exact",
  sizes: {},
};
/** Both experts are never resident at once: the published runs offload one of 14 G parameters at two bytes. */
const A14B: ModelSpec = { ...WAN_14B, ...LOAD_A14B, weightsGb: 28 };
const COG = {
  transformer: null,
  passes: 2,
  rowsOf: null,
  encodeSeconds: WAN_ENCODE_S,
  decodeNanosPerPixel: WAN_DECODE_NS,
  ...LOAD_MEDIAN,
  resume: "exact",
} as const;

export const MODEL_SPECS: ReadonlyMap<string, ModelSpec> = new Map<string, ModelSpec>([
  ["wan2.2-t2v-a14b", A14B],
  // Step-distilled weights of the same network: no guidance pass, 3 to 8 steps. The law halves the step; the job is told its steps.
  ["wan2.2-t2v-a14b-distilled", { ...A14B, passes: 1, rowsOf: "wan2.2-t2v-a14b" }],
  [
    "wan2.2-ti2v-5b",
    {
      ...WAN_14B,
      fps: 24,
      transformer: wanTransformer(30, 3072, 14_336, 32),
      // 2.2 s of text and 13.4 s of decode on a 4090-class card, brought to H100 time by the linear rates 102 / 275.
      encodeSeconds: 0.82,
      decodeNanosPerPixel: 45.6,
      weightsGb: 10,
      ...loadOf(5e9),
      sizes: { "720p": [1280, 704] },
    },
  ],
  [
    "wan2.1-t2v-1.3b",
    { ...WAN_14B, transformer: wanTransformer(30, 1536, 8960, 16), weightsGb: 2.6, ...loadOf(1.3e9) },
  ],
  ["wan2.1-t2v-14b", { ...WAN_14B, weightsGb: 28, ...loadOf(14e9) }],
  // The image passes the autoencoder too: 1.4 s on an H800.
  ["wan2.1-i2v-14b", { ...WAN_14B, encodeSeconds: 1.47, weightsGb: 28, ...loadOf(14e9) }],
  [
    "hunyuanvideo-13b",
    {
      ...WAN_14B,
      fps: 24,
      // 60 layers of width 3072; the linear part is published as 1,620 TF at 119,056 tokens (its two-stream blocks defy the formula).
      transformer: {
        frameStride: 4,
        patchPixels: 16,
        textTokens: 256,
        linearPerToken: 1620e12 / 119_056,
        attentionPerTokenPair: 4 * 60 * 3072,
      },
      passes: 1,
      weightsGb: 26,
      ...loadOf(13e9),
    },
  ],
  // Its pipeline has no step callback; exact resume was read but never run.
  ["hunyuanvideo-1.5", { ...COG, fps: 24, weightsGb: 16.6, ...loadOf(8.3e9), resume: "none", sizes: {} }],
  ["cogvideox-2b", { ...COG, fps: 8, weightsGb: 4, sizes: { "480p": [720, 480] } }],
  ["cogvideox-5b", { ...COG, fps: 8, weightsGb: 10, sizes: { "480p": [720, 480] } }],
  ["cogvideox1.5-5b", { ...COG, fps: 16, weightsGb: 10, sizes: { "768p": [1360, 768] } }],
]);

/** Per layer and token 12 d^2 + 4 d f for the projections and 4 x 512 text tokens x d for cross attention; 4 d per pair. */
function wanTransformer(layers: number, width: number, feedForward: number, patchPixels: number): Transformer {
  return {
    frameStride: 4,
    patchPixels,
    textTokens: 0,
    linearPerToken: layers * (12 * width ** 2 + 4 * width * feedForward + 4 * 512 * width),
    attentionPerTokenPair: 4 * layers * width,
  };
}

function loadOf(parameters: number): Pick<ModelSpec, "loadSeconds" | "loadSource"> {
  const gib = (parameters * 2) / 1024 ** 3 + WAN_ENCODERS_GIB;
  return {
    loadSeconds: gib / LOAD_GIB_PER_S,
    loadSource: `derived: ${gib.toFixed(1)} GiB (two bytes a parameter + encoders) at the A14B's read rate`,
  };
}
