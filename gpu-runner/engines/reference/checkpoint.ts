/**
 * `ckpt/1`: the sampler's state in one safetensors file, its manifest as JSON text in the metadata.
 *
 * A checkpoint fits only the job and code that made it: `compat` covers the engine build and every field of the spec
 * that decides the latents. Another key is refused, never patched over.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { LeaseRef, type RunSpec } from "#protocol/runner.ts";
import { Sha256Hex } from "#protocol/id.ts";
import { REFERENCE_BUILD } from "./build.ts";
import { gridOf, latentValues, type SampleState } from "./sampler.ts";
import { readTensors, writeTensors } from "./safetensors.ts";

const MANIFEST_KEY = "ckpt";

export const Manifest = z.object({
  format: z.literal("ckpt/1"),
  lease: LeaseRef,
  step: z.int().positive(),
  of: z.int().positive(),
  build: z.string(),
  compat: Sha256Hex,
});
export type Manifest = z.infer<typeof Manifest>;

export class CompatError extends Error {
  override readonly name = "CompatError";
}

export function compatKey(spec: RunSpec, prompt: string): Sha256Hex {
  const parts = [
    REFERENCE_BUILD,
    spec.model,
    prompt,
    spec.negative_prompt,
    spec.width,
    spec.height,
    spec.frames,
    spec.steps,
    spec.seed,
    spec.reference?.sha256 ?? null,
  ];
  return Sha256Hex.parse(createHash("sha256").update(JSON.stringify(parts)).digest("hex"));
}

export async function saveCheckpoint(
  path: string,
  lease: LeaseRef,
  of: number,
  compat: Sha256Hex,
  state: SampleState,
): Promise<{ sha256: Sha256Hex; bytes: number }> {
  const manifest: Manifest = { format: "ckpt/1", lease, step: state.step, of, build: REFERENCE_BUILD, compat };
  // The history is not needed once the last step is done; leaving it out halves the file.
  const history = state.step < of ? { velocity: state.velocity } : {};
  return writeTensors(path, { [MANIFEST_KEY]: JSON.stringify(manifest) }, { latents: state.latents, ...history });
}

export async function loadCheckpoint(path: string, spec: RunSpec, compat: Sha256Hex): Promise<SampleState> {
  const { metadata } = await readTensors(path, {});
  const manifest = Manifest.parse(JSON.parse(metadata[MANIFEST_KEY] ?? "null"));
  if (manifest.compat !== compat || manifest.of !== spec.steps || manifest.step > spec.steps) {
    throw new CompatError(`checkpoint was made by ${manifest.build} for another job or build`);
  }
  const length = latentValues(gridOf(spec.width, spec.height, spec.frames));
  const whole = manifest.step < spec.steps;
  const { tensors } = await readTensors(path, { latents: length, ...(whole ? { velocity: length } : {}) });
  const { latents, velocity } = tensors;
  if (latents === undefined) throw new CompatError("checkpoint has no latents");
  return { step: manifest.step, latents, velocity: velocity ?? new Float32Array(0) };
}
