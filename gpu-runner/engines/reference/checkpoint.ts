/**
 * The reference engine's own part of `ckpt/1` (`gpu-runner/checkpoint/manifest.ts`): the sampler's state, and whose it is.
 *
 * A checkpoint fits only the job and code that made it: `compat` covers the engine build and every field of the spec
 * that decides the latents. Whatever does not fit is refused with its reason (`checkpoint-error.ts`), never patched over.
 * The epoch names the attempt: an attempt is a job under one lease.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import type { LeaseRef, RunSpec } from "#protocol/runner.ts";
import { Sha256Hex, type VideoId } from "#protocol/id.ts";
import { CheckpointError } from "../../checkpoint/checkpoint-error.ts";
import {
  checkHash,
  checkJob,
  checkStep,
  checkTensors,
  Manifest as BaseManifest,
  MANIFEST_KEY,
  manifestOf,
  reading,
  stageAt,
} from "../../checkpoint/manifest.ts";
import {
  hashTensors,
  readTensors,
  type TensorHeader,
  type Tensors,
  writeTensors,
} from "../../checkpoint/safetensors.ts";
import { REFERENCE_BUILD } from "./build.ts";
import { CHANNELS } from "./colour.ts";
import { gridOf, SAMPLER, SIGMA_SHIFT, sigmaAt, type SampleState } from "./sampler.ts";

/** The reference engine computes on one CPU, however many devices the gang has; its pictures are the same on any. */
const GPU = "CPU";
const WORLD_SIZE = 1;

const Manifest = BaseManifest.extend({
  /** The seed is the whole state of the random numbers: all of them are drawn before the first step. */
  sampler: z.object({ name: z.string(), shift: z.number(), sigma: z.number(), seed: z.int().nonnegative() }),
});
type Manifest = z.infer<typeof Manifest>;

/** The attempt that resumes; `job`: who must have written the file. */
export interface Resuming {
  readonly job: VideoId;
  readonly spec: RunSpec;
  readonly compat: Sha256Hex;
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

/** Resolves with the hash and size of the file. */
export async function saveCheckpoint(
  path: string,
  lease: LeaseRef,
  spec: RunSpec,
  compat: Sha256Hex,
  state: SampleState,
): Promise<{ sha256: Sha256Hex; bytes: number }> {
  const tensors = tensorsOf(spec, state);
  const manifest: Manifest = {
    format: "ckpt/1",
    lease,
    step: state.step,
    of: spec.steps,
    stage: stageAt(state.step, spec.steps),
    build: REFERENCE_BUILD,
    compat,
    gpu: GPU,
    world_size: WORLD_SIZE,
    sampler: samplerAt(state.step, spec),
    tensors: Object.entries(tensors).map(([name, { shape }]) => ({ name, dtype: "F32", shape: [...shape] })),
    sha256: await hashTensors(tensors),
    bytes: Object.values(tensors).reduce((sum, { values }) => sum + values.byteLength, 0),
    created_at: new Date().toISOString(),
  };
  return writeTensors(path, { [MANIFEST_KEY]: JSON.stringify(manifest) }, tensors);
}

/** Throws a `CheckpointError` unless the file is exactly what this job needs. */
export async function loadCheckpoint(path: string, resuming: Resuming): Promise<SampleState> {
  const read = await reading(() =>
    readTensors(path, (header) => {
      const manifest = manifestOf(header, Manifest);
      checkOrigin(manifest, resuming);
      checkShapes(header, manifest, resuming.spec);
      return manifest;
    }),
  );
  checkHash(read.accepted, read.sha256);
  const latents = read.tensors.get("latents") ?? new Float32Array(0);
  return { step: read.accepted.step, latents, velocity: read.tensors.get("velocity") ?? new Float32Array(0) };
}

function checkOrigin(manifest: Manifest, { job, spec, compat }: Resuming): void {
  const { step, of, build, sampler } = manifest;
  if (build !== REFERENCE_BUILD)
    throw new CheckpointError("other_build", `made by ${build}, this is ${REFERENCE_BUILD}`);
  checkJob(manifest, job);
  if (manifest.compat !== compat) throw new CheckpointError("other_spec", "made for another picture of this job");
  const due = samplerAt(step, spec);
  checkStep(manifest, spec.steps);
  if (JSON.stringify(sampler) !== JSON.stringify(due)) {
    throw new CheckpointError("wrong_step", `${sampler.name} after ${step} of ${of} steps is not where this one is`);
  }
}

function checkShapes(header: TensorHeader, manifest: Manifest, spec: RunSpec): void {
  checkTensors(manifest, header);
  const due = JSON.stringify(shapesAt(manifest.step, spec));
  const found = JSON.stringify(header.tensors.map(({ name, shape }) => [name, shape]));
  if (found !== due) throw new CheckpointError("wrong_tensors", `${found}, where ${due} is due`);
}

function samplerAt(step: number, spec: RunSpec): Manifest["sampler"] {
  return { name: SAMPLER, shift: SIGMA_SHIFT, sigma: sigmaAt(step, spec.steps), seed: spec.seed };
}

/** The history is not needed once the last step is done; leaving it out halves the file. */
function shapesAt(step: number, spec: RunSpec): readonly (readonly [string, readonly number[]])[] {
  const grid = gridOf(spec.width, spec.height, spec.frames);
  const shape = [grid.frames, grid.height, grid.width, CHANNELS];
  return step < spec.steps
    ? [
        ["latents", shape],
        ["velocity", shape],
      ]
    : [["latents", shape]];
}

function tensorsOf(spec: RunSpec, state: SampleState): Tensors {
  const values = { latents: state.latents, velocity: state.velocity };
  return Object.fromEntries(
    shapesAt(state.step, spec).map(([name, shape]) => [name, { shape, values: values[name as keyof typeof values] }]),
  );
}
