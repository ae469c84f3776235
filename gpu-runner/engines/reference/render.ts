/**
 * One job from spec to MP4, inside the engine child: load or resume, denoise with checkpoints, decode and encode.
 * `control.stop` is looked at between steps and between frames.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { Sha256Hex } from "#protocol/id.ts";
import { type EngineEvent, type EngineJob, lastStepOf, type StopWhy } from "../../engine.ts";
import { bytesOf } from "../../checkpoint/safetensors.ts";
import { type Knobs, readKnobs } from "../../knobs.ts";
import { type WrittenMp4, writeMp4 } from "../../mp4/write-mp4.ts";
import { layCanvas } from "./brush.ts";
import { compatKey, loadCheckpoint } from "./checkpoint.ts";
import { makeDecoder } from "./decode.ts";
import { assertFinite } from "./finite.ts";
import { readReference } from "./reference-image.ts";
import { expectedOf, gridOf, makeSampler, type SampleState } from "./sampler.ts";
import { Saver } from "./saver.ts";

const BREATHE_MS = 25;

export interface Control {
  stop: StopWhy | null;
}

export interface Renderer {
  readonly job: EngineJob;
  readonly faults: boolean;
  readonly control: Control;
  readonly emit: (event: EngineEvent) => void;
}

export async function render(renderer: Renderer): Promise<void> {
  const { job, emit } = renderer;
  const { spec, checkpoint } = job;
  const knobs = readKnobs(spec.prompt, renderer.faults);
  const compat = compatKey(spec, knobs.prompt);
  emit({ t: "stage", stage: "load" });
  const saved =
    checkpoint === null ? null : await loadCheckpoint(checkpoint.path, { job: checkpoint.writtenFor, spec, compat });
  // Only the decoding was left to do: no reference to read, no scene to make, no step to take.
  const denoised =
    saved?.step === lastStepOf(spec) ? { state: saved, saver: null } : await denoise(renderer, knobs, compat, saved);
  if (denoised === null) return;
  const { state, saver } = denoised;
  const latents = state.step === spec.steps ? state.latents : expectedOf(state, spec.steps);
  emit({ t: "stage", stage: "decode" });
  if (knobs.oomDecode) throw new OutOfMemoryError("the fault knob asked for more memory than a decode has", "decode");
  const path = join(job.dir, "video.mp4");
  const written = await decode(renderer, latents, path);
  if (written === null) return leave(renderer, saver, state.step);
  const { bytes, sha256, framesSha256 } = written;
  emit({
    t: "artifact",
    path,
    artifact: { sha256, bytes, latents_sha256: hashOf(latents), frames_sha256: framesSha256 },
  });
}

interface Denoised {
  readonly state: SampleState;
  /** Null where the state came from a checkpoint, so that there is nothing to save. */
  readonly saver: Saver | null;
}

/** Null if it was stopped; then `stopped` has been emitted. */
async function denoise(
  renderer: Renderer,
  knobs: Knobs,
  compat: Sha256Hex,
  saved: SampleState | null,
): Promise<Denoised | null> {
  const { job, control, emit } = renderer;
  const { spec } = job;
  emit({ t: "stage", stage: "encode" });
  const reference =
    spec.reference === null || job.referencePath === null
      ? null
      : await readReference(job.referencePath, spec.reference.media_type, gridOf(spec.width, spec.height, spec.frames));
  const sampler = makeSampler(
    { ...spec, prompt: knobs.prompt, negativePrompt: spec.negative_prompt, reference },
    saved,
  );
  const { state } = sampler;
  const saver = new Saver(job, sampler, compat, emit);
  emit({ t: "stage", stage: "denoise" });
  const last = lastStepOf(spec);
  while (state.step < last) {
    if (control.stop !== null) {
      await leave(renderer, saver, state.step);
      return null;
    }
    const from = performance.now();
    await provoke(knobs, job.lease.epoch, state.step + 1, spec.steps);
    if (knobs.idleMs > 0) await new Promise((resolve) => setTimeout(resolve, knobs.idleMs));
    await breathing(sampler.advance(knobs.slow));
    if (state.step === knobs.nanAt) state.latents[0] = Number.NaN;
    emit({ t: "step", stage: "denoise", done: state.step, of: last, ms: performance.now() - from });
    if (state.step < last && saver.isDue()) await saver.save();
    await new Promise(setImmediate);
  }
  assertFinite(state.latents, state.step);
  // Saved before decode, so that a crash while decoding does not cost the denoising.
  if (last < spec.steps || saver.isFinalWorthIt()) await saver.save();
  sampler.finish();
  return { state, saver };
}

/** Keeps what was done for whoever resumes, and says from where that will be; of a cancelled job, how far it came. */
async function leave({ control, emit }: Renderer, saver: Saver | null, step: number): Promise<void> {
  const kept = control.stop !== "cancel" && saver !== null;
  if (kept) await saver.save();
  emit({ t: "stopped", step: kept ? saver.savedStep : step });
}

/** Runs the work but lets the event loop turn now and then, so messages from the runner are heard within a long step. */
async function breathing(work: Generator<void, void, void>): Promise<void> {
  let from = performance.now();
  while (work.next().done !== true) {
    if (performance.now() - from < BREATHE_MS) continue;
    await new Promise(setImmediate);
    from = performance.now();
  }
}

export class OutOfMemoryError extends Error {
  override readonly name = "OutOfMemoryError";
  readonly stage: "denoise" | "decode";
  constructor(message: string, stage: "denoise" | "decode") {
    super(message);
    this.stage = stage;
  }
}

async function provoke(knobs: Knobs, epoch: number, step: number, steps: number): Promise<void> {
  const middle = Math.max(1, Math.ceil(steps / 2));
  const crashAt = knobs.crashAt === "middle" ? middle : knobs.crashAt;
  if (step === crashAt || (step === knobs.crashOnceAt && epoch === 1)) process.kill(process.pid, "SIGKILL");
  if (step === knobs.hangAt) for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000);
  if (knobs.oom && step === middle) {
    throw new OutOfMemoryError("the fault knob asked for more memory than there is", "denoise");
  }
}

/** Null if it was stopped between two frames. */
function decode({ job, control, emit }: Renderer, latents: Float32Array, path: string): Promise<WrittenMp4 | null> {
  const { width, height, frames } = job.spec;
  const decoder = makeDecoder(latents, gridOf(width, height, frames), layCanvas(width, height));
  return writeMp4(path, job.spec, {
    paint: (frame, rgba) => decoder.paint(frame, rgba),
    stopped: () => control.stop !== null,
    progress: (done, ms) => emit({ t: "step", stage: "decode", done, of: frames, ms }),
  });
}

function hashOf(values: Float32Array): Sha256Hex {
  return Sha256Hex.parse(createHash("sha256").update(bytesOf(values)).digest("hex"));
}
