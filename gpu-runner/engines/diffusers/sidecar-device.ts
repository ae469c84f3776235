/**
 * One slot of the diffusers engine as the runner sees it: a warm sidecar, replaced when it dies, hangs, talks nonsense or
 * must stop at once; then an encoder process for the frames that it decoded.
 *
 * A model gives its *known answer* (a tiny picture's latents) whenever it is loaded, also from main memory. After a failure of the engine's own the
 * process is replaced, so the next job begins with a load; if the answer is not what it was, the job is given back as the
 * device's fault.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { invariant } from "#protocol/invariant.ts";
import type { RunError } from "#protocol/runner.ts";
import type { Sha256Hex } from "#protocol/id.ts";
import { CheckpointError } from "../../checkpoint/checkpoint-error.ts";
import { verifyCheckpoint } from "../../checkpoint/manifest.ts";
import { lastStepOf } from "../../engine.ts";
import type { EngineDevice, EngineEvent, EngineJob, EngineRun, StopWhy } from "../../engine.ts";
import { readKnobs } from "../../knobs.ts";
import { type Encoding, encodeInProcess } from "../../mp4/encode-process.ts";
import { isStorageFull, reasonOf, storageFull } from "../../storage-fault.ts";
import type { Vacancy } from "../../gpu/vacancy.ts";
import { KnownAnswers } from "./known-answers.ts";
import type { ModelEntry } from "./model-file.ts";
import { Sidecar, type SidecarEnd } from "./sidecar.ts";
import { loadOrder, runOrder, type Saving, type SidecarEvent } from "./sidecar-message.ts";
import { StepWatchdog } from "./step-watchdog.ts";

/** However fast the steps are, never less than this is called a hang. */
const HANG_MS_MIN = 10_000;
/** One every step, where steps are slow; never more than a twentieth of the time. */
const SAVING: Saving = { interval_ms: 2_000, cost_multiple: 20 };

export interface DiffusersOptions {
  readonly python: string;
  readonly models: ReadonlyMap<string, ModelEntry>;
  /** Main memory of each slot for models that it put aside. */
  readonly shelfBytes: number;
  /** Whether prompts may turn fault knobs. */
  readonly faults: boolean;
  /** Of each device: what its GPU holds though nothing of ours runs there; absent where that cannot be told. */
  readonly vacancies?: readonly (Pick<Vacancy, "heldStill"> | null)[];
  /** Shortens the hang watchdog in tests. */
  readonly hangMsMin?: number;
  readonly saving?: Saving;
  /** Another one than the model gives makes a device that is broken, in tests. */
  readonly knownAnswer?: Sha256Hex;
}

interface Run {
  readonly number: number;
  readonly job: EngineJob;
  readonly entry: ModelEntry;
  readonly emit: (event: EngineEvent) => void;
  phase: "loading" | "rendering" | "encoding";
  stopping: StopWhy | null;
  /** Kept by a checkpoint: what a resume would start from. */
  savedStep: number;
  readonly watchdog: StepWatchdog;
  encoding: Encoding | null;
}

type RunEvent = Extract<SidecarEvent, { run: number }>;

export class SidecarDevice implements EngineDevice {
  readonly #options: DiffusersOptions;
  readonly #gpu: number | null;
  #sidecar: Sidecar | null = null;
  /** The last process that was ended: until it is gone, its memory is not free for the next one. */
  #leaving: Promise<void> = Promise.resolve();
  #run: Run | null = null;
  #runs = 0;
  readonly #answers: KnownAnswers;

  /** The process is started at once, so the first job finds its libraries loaded. */
  constructor(options: DiffusersOptions, gpu: number | null) {
    this.#options = options;
    this.#gpu = gpu;
    this.#answers = new KnownAnswers(options.knownAnswer ?? null);
    this.#sidecar = this.#spawn();
  }

  /** For tests and diagnosis. */
  get pid(): number | null {
    return this.#sidecar?.pid ?? null;
  }

  start(job: EngineJob, emit: (event: EngineEvent) => void): EngineRun {
    const entry = this.#options.models.get(job.spec.model);
    invariant(entry !== undefined, `the session takes only jobs of models that it announced`);
    const run: Run = {
      number: ++this.#runs,
      job,
      entry,
      emit,
      phase: "loading",
      stopping: null,
      savedStep: 0,
      watchdog: new StepWatchdog(entry.quiet_s * 1_000, this.#options.hangMsMin ?? HANG_MS_MIN, (ms) =>
        this.#lost({ code: "hung_step", detail: `no progress for ${ms} ms` }),
      ),
      encoding: null,
    };
    this.#run = run;
    this.#begin(run).catch((fault: unknown) => this.#finish(run, { t: "failed", error: errorOf(fault) }));
    return {
      stop: (why) => this.#stop(run, why),
      kill: () => {
        if (this.#run !== run) return;
        this.#over(run);
        this.#discard();
      },
    };
  }

  async close(): Promise<void> {
    if (this.#run !== null) this.#over(this.#run);
    this.#discard();
    await this.#leaving;
  }

  async #begin(run: Run): Promise<void> {
    const { job, entry } = run;
    run.emit({ t: "stage", stage: "load" });
    if (job.spec.reference !== null) {
      const detail = `The model '${entry.name}' takes no input_reference.`;
      return this.#finish(run, { t: "failed", error: { class: "user", code: "invalid_input_reference", detail } });
    }
    if (job.checkpoint !== null) {
      const { step } = await verifyCheckpoint(job.checkpoint.path, job.checkpoint.writtenFor, job.spec.steps);
      if (this.#run !== run) return;
      run.savedStep = step;
    }
    if (this.#sidecar === null) {
      await this.#leaving;
      const held = (await this.#options.vacancies?.[this.#gpu ?? 0]?.heldStill()) ?? null;
      if (this.#run !== run) return;
      if (held !== null)
        return this.#finish(run, { t: "failed", error: { class: "gpu_fatal", code: "vram_held", detail: held } });
    }
    this.#sidecar ??= this.#spawn();
    this.#sidecar.tell({ t: "load", run: run.number, ...loadOrder(entry) });
  }

  #stop(run: Run, why: StopWhy): void {
    if (this.#run !== run) return;
    run.stopping = why;
    // While it loads the order waits: the weights are of use to whoever comes next.
    if (run.phase === "rendering") this.#sidecar?.tell({ t: "stop", run: run.number, why });
    if (run.phase === "encoding") this.#finish(run, { t: "stopped", step: lastStepOf(run.job.spec) });
  }

  #spawn(): Sidecar {
    const sidecar: Sidecar = new Sidecar(
      { python: this.#options.python, gpu: this.#gpu, shelfBytes: this.#options.shelfBytes },
      {
        event: (event) => {
          if ("run" in event && event.run === this.#run?.number && this.#sidecar === sidecar)
            this.#hear(this.#run, event);
        },
        ended: (why) => {
          if (this.#sidecar === sidecar) this.#lost(why);
        },
      },
    );
    return sidecar;
  }

  #hear(run: Run, event: RunEvent): void {
    switch (event.t) {
      case "loaded":
        return this.#loaded(run, event);
      case "unloaded":
        return;
      case "stage":
        run.watchdog.stage();
        return run.emit({ t: "stage", stage: event.stage });
      case "step": {
        const { stage, done, of, ms } = event;
        run.watchdog.step(ms, done === of);
        return run.emit({ t: "step", stage, done, of, ms });
      }
      case "checkpoint": {
        const { step, path, sha256, bytes, exactness } = event;
        run.savedStep = step;
        return run.emit({ t: "checkpoint", step, path, sha256, bytes, exactness });
      }
      case "unsaved":
        return run.emit({ t: "unsaved", step: event.step, detail: event.detail });
      case "frames":
        return void this.#encode(run, event).catch((fault: unknown) =>
          this.#finish(run, { t: "failed", error: errorOf(fault) }),
        );
      case "stopped":
        return this.#finish(run, { t: "stopped", step: event.step });
      case "failed":
        // Whatever went wrong in there may go wrong again: the next job gets a fresh process.
        if (event.error.class === "engine_fatal") this.#suspectIt();
        return this.#finish(run, { t: "failed", error: event.error });
      default:
        return event satisfies never;
    }
  }

  #loaded(run: Run, { from, seconds, known_answer: answer }: Extract<SidecarEvent, { t: "loaded" }>): void {
    const { entry, job, number } = run;
    if (from !== "device") run.emit({ t: "loaded", model: entry.name, from, seconds });
    const missed = this.#answers.missed(entry, answer);
    if (missed !== null) {
      this.#suspectIt();
      const detail = `the known-answer job gave ${answer}, not ${missed}`;
      return this.#finish(run, { t: "failed", error: { class: "gpu_fatal", code: "known_answer", detail } });
    }
    if (run.stopping !== null) return this.#finish(run, { t: "stopped", step: run.savedStep });
    run.phase = "rendering";
    const knobs = readKnobs(job.spec.prompt, this.#options.faults);
    const order = runOrder(job, knobs, entry.negative_prompt, this.#options.saving ?? SAVING);
    this.#sidecar?.tell({ t: "run", run: number, ...order });
    run.watchdog.heard();
  }

  async #encode(run: Run, frames: Extract<SidecarEvent, { t: "frames" }>): Promise<void> {
    const { spec, dir } = run.job;
    const path = join(dir, "video.mp4");
    run.phase = "encoding";
    run.encoding = encodeInProcess({ framesPath: frames.path, path, picture: spec }, (done, ms) => {
      if (this.#run !== run) return;
      run.watchdog.heard();
      run.emit({ t: "step", stage: "decode", done, of: spec.frames, ms });
    });
    run.watchdog.stage();
    const { bytes, sha256, framesSha256 } = await run.encoding.written;
    await rm(frames.path, { force: true });
    const artifact = { sha256, bytes, latents_sha256: frames.latents_sha256, frames_sha256: framesSha256 };
    this.#finish(run, { t: "artifact", path, artifact });
  }

  /** A process that fails before the job began is at fault itself; only what happens in a job may be the job's. */
  #lost({ code, detail }: { readonly code: SidecarEnd["code"] | "hung_step"; readonly detail: string }): void {
    this.#suspectIt();
    const run = this.#run;
    if (run === null) return;
    const blamed: RunError["class"] = run.phase === "loading" ? "gpu_fatal" : "engine_fatal";
    this.#finish(run, { t: "failed", error: { class: blamed, code, detail } });
  }

  /** The last word about a run; nothing is said about it afterwards. */
  #finish(run: Run, ending: Extract<EngineEvent, { t: "artifact" | "stopped" | "failed" }>): void {
    if (this.#run !== run) return;
    this.#over(run);
    run.emit(ending);
  }

  #over(run: Run): void {
    run.watchdog.stop();
    run.encoding?.kill();
    this.#run = null;
  }

  #suspectIt(): void {
    this.#answers.suspect();
    this.#discard();
  }

  #discard(): void {
    const sidecar = this.#sidecar;
    this.#sidecar = null;
    if (sidecar === null) return;
    sidecar.kill();
    this.#leaving = sidecar.gone;
  }
}

function errorOf(fault: unknown): RunError {
  // Nobody's failure but the file's: the next attempt resumes from an older one, or starts anew.
  if (fault instanceof CheckpointError) return { class: "retryable", code: "bad_checkpoint", detail: fault.message };
  if (isStorageFull(fault)) return storageFull(fault);
  return { class: "engine_fatal", code: "render_failed", detail: reasonOf(fault) };
}
