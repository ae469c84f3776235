/** A workload by what the command line says: a path, or `synthetic:` and a name. */
import { readWorkload } from "./workload-file.ts";
import type { WorkloadLine } from "./workload-file.ts";
import { syntheticWorkload } from "./workload/synthetic.ts";

const SYNTHETIC = "synthetic:";

export function loadWorkload(source: string, seed: number): readonly WorkloadLine[] {
  return source.startsWith(SYNTHETIC) ? syntheticWorkload(source.slice(SYNTHETIC.length), seed) : readWorkload(source);
}
