/** The jobs of a workload, as one policy will meet them: fresh state, the same luck for every policy. */
import { VideoId } from "#protocol/id.ts";
import type { Catalog } from "./catalog.ts";
import { workFactor } from "./noise.ts";
import type { NoiseOptions } from "./noise.ts";
import type { SimJob } from "./sim-job.ts";
import type { WorkloadLine } from "./workload-file.ts";

/** The class of lines that no class holds; they are rejected. */
const NO_CLASS = "none";

export interface JobsInput {
  readonly lines: readonly WorkloadLine[];
  readonly catalog: Catalog;
  /** Arrivals come this many times faster than the file says. */
  readonly timeScale: number;
  readonly noise: NoiseOptions;
}

export function jobsOf({ lines, catalog, timeScale, noise }: JobsInput): readonly SimJob[] {
  const exact = new Set(catalog.classes.filter(({ resume }) => resume === "exact").map(({ id }) => id));
  return lines.map((line, seq) => {
    const id = `j${String(seq).padStart(7, "0")}`;
    const classId = catalog.classOf(line) ?? NO_CLASS;
    return {
      id,
      videoId: VideoId.parse(`video_${seq.toString(16).padStart(32, "0")}`),
      account: line.account,
      tier: line.tier,
      class: classId,
      weights: line.weights,
      steps: line.steps,
      fails: line.outcome === "failed",
      seq,
      submittedAtMs: Math.round((line.at_s * 1_000) / timeScale),
      workFactor: workFactor(noise, id),
      resumes: exact.has(classId),
      stride: strideOf(line.steps, catalog.segmentsOf(classId)),
      stepsDone: 0,
      epoch: 0,
      preemptions: 0,
      interrupted: false,
      run: null,
      quotes: [],
    };
  });
}

/** A plain video stops between any two steps, a chained one only between two of its parts. */
function strideOf(steps: number, segments: number): number {
  return segments === 1 ? 1 : Math.max(1, Math.floor(steps / segments));
}
