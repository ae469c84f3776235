/** Why a checkpoint file is not resumed from. Each is the file's fault, none the engine's: the job goes on without it. */
export type CheckpointFault =
  /** Shorter than its header says. */
  | "truncated"
  | "header_too_large"
  | "not_safetensors"
  /** Other names, types, shapes or offsets of tensors than this picture has. */
  | "wrong_tensors"
  /** The tensors' bytes are not those that were written. */
  | "wrong_hash"
  /** A tensor file, but not a `ckpt/1`. */
  | "no_manifest"
  | "other_build"
  | "other_job"
  /** The same job, but another picture than this one. */
  | "other_spec"
  /** The same picture by other weights, or by another scheduler, type of numbers or guidance. */
  | "other_weights"
  | "other_sampler"
  /** Step, stage and sampler do not fit together. */
  | "wrong_step"
  /** The disk does not give it back. */
  | "unreadable";

export class CheckpointError extends Error {
  override readonly name = "CheckpointError";
  readonly fault: CheckpointFault;
  constructor(fault: CheckpointFault, detail: string, options?: ErrorOptions) {
    super(`${fault}: ${detail}`, options);
    this.fault = fault;
  }
}
