/**
 * One job from spec to MP4, inside the engine child: load or resume, denoise with checkpoints, decode and encode.
 * `control.stop` is looked at between steps and between frames.
 */
import { createHash } from "node:crypto";
import { open, rename } from "node:fs/promises";
import { join } from "node:path";
import { Sha256Hex } from "#protocol/id.ts";
import type { EngineEvent, EngineJob, StopWhy } from "../../engine.ts";
import { layCanvas } from "./brush.ts";
import { compatKey, loadCheckpoint, saveCheckpoint } from "./checkpoint.ts";
import { BYTES_PER_PIXEL, makeDecoder } from "./decode.ts";
import { openEncoder } from "./encode-mp4.ts";
import { type Knobs, readKnobs } from "./knobs.ts";
import { readReference } from "./reference-image.ts";
import { bytesOf } from "./safetensors.ts";
import { gridOf, makeSampler, type Sampler } from "./sampler.ts";

/** A checkpoint is due after this long, or after so many times what writing the last one cost, whichever is more. */
export const CHECKPOINT_INTERVAL_MS = 2_000;
export const CHECKPOINT_COST_MULTIPLE = 20;
/** The final latents are saved if at least this much work would be lost with them. */
export const FINAL_CHECKPOINT_MS = 250;
export const DECODE_REPORT_MS = 100;
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
  const { job, control, emit } = renderer;
  const { spec } = job;
  const knobs = readKnobs(spec.prompt, renderer.faults);
  const compat = compatKey(spec, knobs.prompt);
  emit({ t: "stage", stage: "load" });
  const saved = job.checkpointPath === null ? null : await loadCheckpoint(job.checkpointPath, spec, compat);
  emit({ t: "stage", stage: "encode" });
  const grid = gridOf(spec.width, spec.height, spec.frames);
  const reference =
    spec.reference === null || job.referencePath === null
      ? null
      : await readReference(job.referencePath, spec.reference.media_type, grid);
  const sampler = makeSampler(
    { ...spec, prompt: knobs.prompt, negativePrompt: spec.negative_prompt, reference },
    saved,
  );
  const saver = makeSaver(renderer, sampler, compat);
  emit({ t: "stage", stage: "denoise" });
  if (!(await denoise(renderer, sampler, knobs, saver))) return;
  const latents = sampler.state.latents;
  sampler.finish();
  emit({ t: "stage", stage: "decode" });
  const { path, framesSha256, bytes, sha256 } = (await decode(renderer, latents)) ?? {};
  if (path === undefined || framesSha256 === undefined || sha256 === undefined || bytes === undefined) {
    if (control.stop !== "cancel") await saver.save();
    emit({ t: "stopped", step: sampler.state.step });
    return;
  }
  emit({
    t: "artifact",
    path,
    artifact: { sha256, bytes, latents_sha256: hashOf(latents), frames_sha256: framesSha256 },
  });
}

/** False if it was stopped; then `stopped` has been emitted. */
async function denoise(renderer: Renderer, sampler: Sampler, knobs: Knobs, saver: Saver): Promise<boolean> {
  const { job, control, emit } = renderer;
  const { steps } = job.spec;
  while (sampler.state.step < steps) {
    if (control.stop !== null) {
      if (control.stop !== "cancel" && sampler.state.step > 0) await saver.save();
      emit({ t: "stopped", step: sampler.state.step });
      return false;
    }
    const from = performance.now();
    await provoke(knobs, job.lease.epoch, sampler.state.step + 1, steps);
    if (knobs.idleMs > 0) await new Promise((resolve) => setTimeout(resolve, knobs.idleMs));
    await breathing(sampler.advance(knobs.slow));
    emit({ t: "step", stage: "denoise", done: sampler.state.step, of: steps, ms: performance.now() - from });
    if (sampler.state.step < steps && saver.isDue()) await saver.save();
    await new Promise(setImmediate);
  }
  // Saved before decode, so that a crash while decoding does not cost the denoising.
  if (saver.idleMs() >= FINAL_CHECKPOINT_MS) await saver.save();
  return true;
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
}

async function provoke(knobs: Knobs, epoch: number, step: number, steps: number): Promise<void> {
  const middle = Math.max(1, Math.ceil(steps / 2));
  const crashAt = knobs.crashAt === "middle" ? middle : knobs.crashAt;
  if (step === crashAt || (step === knobs.crashOnceAt && epoch === 1)) process.kill(process.pid, "SIGKILL");
  if (step === knobs.hangAt) for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000);
  if (knobs.oom && step === middle) throw new OutOfMemoryError("the fault knob asked for more memory than there is");
}

interface Saver {
  isDue(): boolean;
  idleMs(): number;
  save(): Promise<void>;
}

function makeSaver({ job, emit }: Renderer, sampler: Sampler, compat: Sha256Hex): Saver {
  let savedStep = sampler.state.step;
  let savedAt = performance.now();
  let costMs = 0;
  return {
    isDue: () => performance.now() - savedAt >= Math.max(CHECKPOINT_INTERVAL_MS, costMs * CHECKPOINT_COST_MULTIPLE),
    idleMs: () => (sampler.state.step === savedStep ? 0 : performance.now() - savedAt),
    async save() {
      const { step } = sampler.state;
      if (step === savedStep) return;
      const from = performance.now();
      const path = join(job.dir, `checkpoint-${step}.safetensors`);
      const { sha256, bytes } = await saveCheckpoint(path, job.lease, job.spec.steps, compat, sampler.state);
      savedStep = step;
      savedAt = performance.now();
      costMs = savedAt - from;
      emit({ t: "checkpoint", step, path, sha256, bytes });
    },
  };
}

interface Decoded {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: Sha256Hex;
  readonly framesSha256: Sha256Hex;
}

/** Null if it was stopped between two frames. */
async function decode({ job, control, emit }: Renderer, latents: Float32Array): Promise<Decoded | null> {
  const { width, height, fps, frames } = job.spec;
  const decoder = makeDecoder(latents, gridOf(width, height, frames), layCanvas(width, height));
  const encoder = openEncoder(width, height, fps);
  const rgba = new Uint8ClampedArray(width * height * BYTES_PER_PIXEL);
  const hash = createHash("sha256");
  let reportedAt = performance.now();
  try {
    for (let frame = 0; frame < frames; frame++) {
      if (control.stop !== null) return null;
      const from = performance.now();
      decoder.paint(frame, rgba);
      hash.update(rgba);
      await encoder.add(rgba);
      const now = performance.now();
      if (now - reportedAt >= DECODE_REPORT_MS || frame === frames - 1) {
        reportedAt = now;
        emit({ t: "step", stage: "decode", done: frame + 1, of: frames, ms: now - from });
        await new Promise(setImmediate);
      }
    }
    const mp4 = await encoder.finish();
    const path = join(job.dir, "video.mp4");
    await writeWhole(path, mp4);
    const sha256 = Sha256Hex.parse(createHash("sha256").update(mp4).digest("hex"));
    return { path, bytes: mp4.length, sha256, framesSha256: Sha256Hex.parse(hash.digest("hex")) };
  } finally {
    encoder.close();
  }
}

async function writeWhole(path: string, data: Uint8Array): Promise<void> {
  const file = await open(`${path}.part`, "w");
  try {
    await file.writeFile(data);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.part`, path);
}

function hashOf(values: Float32Array): Sha256Hex {
  return Sha256Hex.parse(createHash("sha256").update(bytesOf(values)).digest("hex"));
}
