/**
 * `ckpt/1`: an engine's state in one safetensors file, its manifest as JSON text in the metadata. One file, so that
 * manifest and tensors cannot be parted or mixed up.
 *
 * Here is what every engine's checkpoint has in common; an engine adds fields of its own, and checks of its own. Whatever
 * does not fit is refused with its reason (`checkpoint-error.ts`), never patched over.
 */
import { z } from "zod";
import { LeaseRef } from "#protocol/runner.ts";
import { Sha256Hex, type VideoId } from "#protocol/id.ts";
import { CheckpointError } from "./checkpoint-error.ts";
import { hashStored, type TensorHeader } from "./safetensors.ts";

export const MANIFEST_KEY = "ckpt";

/** After the last step only the decoding is left to do. */
export type CheckpointStage = "denoise" | "decode-pending";

export const Manifest = z.object({
  format: z.literal("ckpt/1"),
  /** The attempt that wrote it. */
  lease: LeaseRef,
  step: z.int().positive(),
  of: z.int().positive(),
  stage: z.enum(["denoise", "decode-pending"]),
  build: z.string(),
  /** Of everything that decides the latents: whoever has another key makes another picture. */
  compat: Sha256Hex,
  gpu: z.string(),
  world_size: z.int().positive(),
  tensors: z.array(z.object({ name: z.string(), dtype: z.string(), shape: z.array(z.int().nonnegative()) })),
  /** Of the tensors' bytes, in the order of the file. */
  sha256: Sha256Hex,
  bytes: z.int().nonnegative(),
  created_at: z.iso.datetime(),
});
export type Manifest = z.infer<typeof Manifest>;

export function stageAt(step: number, steps: number): CheckpointStage {
  return step === steps ? "decode-pending" : "denoise";
}

/** `schema` is `Manifest`, or an engine's extension of it. */
export function manifestOf<Schema extends z.ZodType>({ metadata }: TensorHeader, schema: Schema): z.infer<Schema> {
  try {
    return schema.parse(JSON.parse(metadata[MANIFEST_KEY] ?? "null"));
  } catch (cause) {
    throw new CheckpointError("no_manifest", "it has no ckpt/1 manifest that we can read", { cause });
  }
}

export function checkJob({ lease }: Manifest, job: VideoId): void {
  if (lease.job !== job) throw new CheckpointError("other_job", `made for ${lease.job}`);
}

export function checkStep({ step, of, stage }: Manifest, steps: number): void {
  if (of !== steps || step > of || stage !== stageAt(step, of)) {
    throw new CheckpointError("wrong_step", `${stage} after ${step} of ${of} steps, where ${steps} are due`);
  }
}

/** The manifest describes the tensors that are there. */
export function checkTensors(manifest: Manifest, header: TensorHeader): void {
  const found = JSON.stringify(header.tensors.map(({ name, dtype, shape }) => [name, dtype, shape]));
  const said = JSON.stringify(manifest.tensors.map(({ name, dtype, shape }) => [name, dtype, shape]));
  if (found !== said || manifest.bytes !== header.bytes) {
    throw new CheckpointError("wrong_tensors", `${found}, where the manifest says ${said}`);
  }
}

export function checkHash(manifest: Manifest, sha256: Sha256Hex): void {
  if (manifest.sha256 !== sha256) {
    throw new CheckpointError("wrong_hash", "the tensors are not those that were written");
  }
}

/** A disk that does not give the file back is the file's fault too: the job goes on without it. */
export async function reading<Read>(read: () => Promise<Read>): Promise<Read> {
  try {
    return await read();
  } catch (fault) {
    if (fault instanceof Error && !(fault instanceof CheckpointError) && "errno" in fault) {
      throw new CheckpointError("unreadable", fault.message, { cause: fault });
    }
    throw fault;
  }
}

/**
 * For engines that read the tensors in a process of their own: the file is whole, is a `ckpt/1`, and is this job's at a
 * step that it has. Whether the picture is the same, only the engine can say.
 */
export async function verifyCheckpoint(path: string, job: VideoId, steps: number): Promise<Manifest> {
  const { accepted, sha256 } = await reading(() =>
    hashStored(path, (header) => {
      const manifest = manifestOf(header, Manifest);
      checkJob(manifest, job);
      checkStep(manifest, steps);
      checkTensors(manifest, header);
      return manifest;
    }),
  );
  checkHash(accepted, sha256);
  return accepted;
}
