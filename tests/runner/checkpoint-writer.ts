/**
 * A process that does nothing but write checkpoints, over and over, until it is killed. Its arguments: the folder, and
 * the spec as JSON. It says `ready` once it has written the first.
 */
import { join } from "node:path";
import { compatKey, saveCheckpoint } from "#gpu-runner/engines/reference/checkpoint.ts";
import { gridOf, latentValues } from "#gpu-runner/engines/reference/sampler.ts";
import { RunSpec } from "#protocol/runner.ts";
import { JOB } from "./job-name.ts";

const [dir = "", text = ""] = process.argv.slice(2);
const spec = RunSpec.parse(JSON.parse(text));
const length = latentValues(gridOf(spec.width, spec.height, spec.frames));

for (let round = 0; ; round++) {
  const step = 1 + (round % (spec.steps - 1));
  const state = {
    step,
    latents: new Float32Array(length).fill(round),
    velocity: new Float32Array(length).fill(step),
  };
  const path = join(dir, `checkpoint-${step}.safetensors`);
  await saveCheckpoint(path, { job: JOB, epoch: 1 }, spec, compatKey(spec, spec.prompt), state);
  if (round === 0) process.send?.("ready");
}
