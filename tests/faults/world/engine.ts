/**
 * A simulated engine behind the runner's real device bay: load, encode, steps with checkpoints, decode, a file. It keeps the
 * promises of `gpu-runner/engine.ts`; what it may do by a seed is fail in every class of the taxonomy, and be slow to stop.
 */
import { lastStepOf } from "#gpu-runner/engine.ts";
import type { Engine, EngineEvent, EngineJob, EngineRun, StopWhy } from "#gpu-runner/engine.ts";
import type { RunError } from "#protocol/runner.ts";
import type { Chance } from "../kernel/chance.ts";
import type { Process } from "../kernel/process.ts";
import { readRendering, writeRendering } from "../system/files.ts";
import { begun, hashOf, stepped } from "./rendering.ts";
import type { Rendering } from "./rendering.ts";

const CHECKPOINT_BYTES = 40_000;
const ARTIFACT_BYTES = 20_000;

export interface EngineFaults {
  /** Of steps. */
  failed: number;
}

const ERRORS: readonly RunError[] = [
  { class: "retryable", code: "transient", detail: "" },
  { class: "gpu_fatal", code: "xid_79", detail: "" },
  { class: "engine_fatal", code: "crashed", detail: "" },
  { class: "capacity", code: "out_of_memory", detail: "" },
  { class: "user", code: "refused", detail: "no" },
  { class: "retryable", code: "bad_checkpoint", detail: "" },
];

/** What the checker hears of engines, true whatever anybody says. */
export interface EngineWatch {
  began(process: Process, job: string, epoch: number): void;
  stepped(process: Process, job: string, epoch: number, step: number): void;
}

export interface Pace {
  readonly stepMs: number;
  readonly stepsPerCheckpoint: number;
}

export function simulatedEngine(
  process: Process,
  chance: Chance,
  pace: Pace,
  faults: EngineFaults,
  watch: EngineWatch,
): Engine {
  return {
    name: "simulated",
    build: "simulated 1",
    models: ["reference"],
    gpus: null,
    caps: { checkpoint: "exact", step_progress: true, cancel: "step" },
    openDevice: () => ({
      start: (job, emit) => new Run(process, chance, pace, faults, watch, job, emit),
      close: () => Promise.resolve(),
    }),
  };
}

class Run implements EngineRun {
  readonly #process: Process;
  readonly #chance: Chance;
  readonly #pace: Pace;
  readonly #faults: EngineFaults;
  readonly #watch: EngineWatch;
  readonly #job: EngineJob;
  readonly #emit: (event: EngineEvent) => void;
  #rendering: Rendering;
  #savedStep: number;
  #stopping: StopWhy | null = null;
  #over = false;

  constructor(
    process: Process,
    chance: Chance,
    pace: Pace,
    faults: EngineFaults,
    watch: EngineWatch,
    job: EngineJob,
    emit: (event: EngineEvent) => void,
  ) {
    this.#process = process;
    this.#chance = chance;
    this.#pace = pace;
    this.#faults = faults;
    this.#watch = watch;
    this.#job = job;
    this.#emit = emit;
    const resumed = job.checkpoint === null ? null : readRendering(job.checkpoint.path);
    this.#rendering = resumed ?? begun(job.spec.seed);
    this.#savedStep = this.#rendering.step;
    watch.began(process, job.lease.job, job.lease.epoch);
    this.#later(5, () => {
      this.#emit({ t: "stage", stage: "load" });
      this.#later(20, () => this.#encode());
    });
  }

  stop(why: StopWhy): void {
    this.#stopping ??= why;
  }

  kill(): void {
    this.#finish();
  }

  #encode(): void {
    this.#emit({ t: "stage", stage: "encode" });
    this.#later(this.#pace.stepMs / 2, () => {
      this.#emit({ t: "stage", stage: "denoise" });
      this.#next();
    });
  }

  #next(): void {
    if (this.#stopping !== null) return this.#stopped(this.#stopping);
    const steps = lastStepOf(this.#job.spec);
    if (this.#rendering.step >= steps) {
      if (steps < this.#job.spec.steps) this.#save();
      return this.#decode();
    }
    this.#later(this.#pace.stepMs, () => {
      if (this.#chance.happens(this.#faults.failed))
        return this.#end({ t: "failed", error: this.#chance.pick(ERRORS) });
      this.#rendering = stepped(this.#rendering);
      const { step } = this.#rendering;
      this.#watch.stepped(this.#process, this.#job.lease.job, this.#job.lease.epoch, step);
      this.#emit({ t: "step", stage: "denoise", done: step, of: steps, ms: this.#pace.stepMs });
      if (step < steps && step % this.#pace.stepsPerCheckpoint === 0) this.#save();
      this.#next();
    });
  }

  #save(): void {
    const { step } = this.#rendering;
    if (step === this.#savedStep) return;
    this.#savedStep = step;
    const path = `${this.#job.dir}/${step}.safetensors`;
    writeRendering(path, this.#rendering);
    const file = { path, sha256: hashOf(this.#rendering), bytes: CHECKPOINT_BYTES };
    this.#emit({ t: "checkpoint", step, exactness: "exact", ...file });
  }

  #stopped(why: StopWhy): void {
    if (why !== "cancel" && this.#rendering.step > 0) this.#save();
    this.#end({ t: "stopped", step: this.#rendering.step });
  }

  #decode(): void {
    this.#emit({ t: "stage", stage: "decode" });
    this.#later(this.#pace.stepMs, () => {
      const path = `${this.#job.dir}/video.mp4`;
      writeRendering(path, this.#rendering);
      const sha256 = hashOf(this.#rendering);
      this.#end({
        t: "artifact",
        path,
        artifact: { sha256, bytes: ARTIFACT_BYTES, latents_sha256: sha256, frames_sha256: null },
      });
    });
  }

  #end(event: EngineEvent): void {
    this.#finish();
    this.#emit(event);
  }

  #finish(): void {
    this.#over = true;
  }

  #later(ms: number, act: () => void): void {
    this.#process.clock.after(this.#chance.latency(ms), () => {
      if (!this.#over) act();
    });
  }
}
