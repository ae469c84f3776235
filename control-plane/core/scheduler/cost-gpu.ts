/**
 * GPU kinds: memory, interconnect, and the two rates of the scaling law (`cost-law.ts`).
 *
 * `linear` and `attention` are effective TFLOP/s of whole jobs, so offload and the engine's losses are inside. A kind
 * that is not here has no estimate: nothing is guessed from a name.
 */
export interface GpuKind {
  readonly memoryGb: number;
  /** Peer links fast enough for sequence parallelism; without them a gang wastes 30 to 70 %. */
  readonly nvlink: boolean;
  readonly linear: number;
  readonly attention: number;
  /** Where the two rates come from. */
  readonly source: string;
}

export const BYTES_PER_GB = 1_000_000_000;
/** The GPU whose time is the scheduler's currency. */
export const REFERENCE_GPU = "H100-80";

const BUILD_MARK = " under ";

const SOLVED = "solved from the two Wan2.2 T2V-A14B rows (480p, 720p) of this GPU in its README";

export const GPU_KINDS: ReadonlyMap<string, GpuKind> = new Map<string, GpuKind>([
  ["H100-80", { memoryGb: 80, nvlink: true, linear: 275, attention: 739, source: SOLVED }],
  ["A100-80", { memoryGb: 80, nvlink: true, linear: 133, attention: 230, source: SOLVED }],
  ["H20-96", { memoryGb: 96, nvlink: true, linear: 97, attention: 148, source: SOLVED }],
  [
    "H200-141",
    {
      memoryGb: 141,
      nvlink: true,
      linear: 275,
      attention: 739,
      source: "derived: the compute die of the H100, so its rates; the faster memory is not counted",
    },
  ],
  [
    "L20-48",
    {
      memoryGb: 48,
      nvlink: false,
      linear: 86.6,
      attention: 232.8,
      source: "derived: H100 rates x 1904.1 s / 6043.9 s, HunyuanVideo 720p on one GPU (xDiT report)",
    },
  ],
  [
    "RTX4090-24",
    {
      memoryGb: 24,
      nvlink: false,
      linear: 102,
      attention: 102,
      source: "derived: whole-job rates 108 (Wan2.1-1.3B) and 97 TFLOP/s (Wan2.2-5B), their geometric mean",
    },
  ],
]);

/** A runner as the cost model knows it: its kind of GPU, driven by this build of an engine. */
export function withBuild(gpu: string, build: string): string {
  return build === "" ? gpu : `${gpu}${BUILD_MARK}${build}`;
}

/** The two parts of such a name; a bare kind of GPU has no build. */
export function partsOf(name: string): { readonly gpu: string; readonly build: string } {
  const at = name.indexOf(BUILD_MARK);
  return at < 0 ? { gpu: name, build: "" } : { gpu: name.slice(0, at), build: name.slice(at + BUILD_MARK.length) };
}
