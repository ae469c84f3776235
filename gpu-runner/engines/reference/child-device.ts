/**
 * One device of the reference engine as the runner sees it: a warm child process, replaced when it dies, hangs or must
 * stop at once, so nothing the engine does can take the runner down.
 *
 * After a failure of the engine's own the device is *suspect*: the next job waits until a fresh child has given the known
 * answer. If it does not, the job is given back as the device's fault, and the next job asks again.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import type { Sha256Hex } from "#protocol/id.ts";
import type { RunError } from "#protocol/runner.ts";
import type { EngineDevice, EngineEvent, EngineJob, EngineRun, StopWhy } from "../../engine.ts";
import type { FromChild, ToChild } from "./child-message.ts";
import { CLIPS_LARGE, CLIPS_SMALL, LARGE_GRID_CELLS } from "./dictionary.ts";
import { readKnobs } from "../../knobs.ts";
import { KNOWN_ANSWER } from "./known-answer.ts";
import type { ReferenceOptions } from "./reference-engine.ts";
import { gridOf } from "./sampler.ts";

/** A step may take three times what is expected of the slowest, and never less than this is called a hang. */
export const HANG_MS_MIN = 10_000;
const HANG_MULTIPLE = 3;
/** A process on a host that is short of cores takes seconds to begin; one that never does is the host's fault. */
const BEGIN_MS_MAX = 60_000;
/** A pessimistic cost of one cell of one clip in one step: a loaded host with slow cores. */
const CELL_NANOSECONDS_MAX = 150;
const CHILD_HEAP_MIB = 256;
const ENDINGS: ReadonlySet<EngineEvent["t"]> = new Set<EngineEvent["t"]>(["artifact", "stopped", "failed"]);

interface Run {
  readonly number: number;
  readonly emit: (event: EngineEvent) => void;
  readonly hangMs: number;
  watchdog: NodeJS.Timeout | null;
  /** What to send once the child gave the known answer; null when it is at work. */
  held: readonly ToChild[] | null;
}

export class ChildDevice implements EngineDevice {
  readonly #options: ReferenceOptions;
  #child: ChildProcess | null = null;
  /** The child takes orders. */
  #ready = false;
  #run: Run | null = null;
  #runs = 0;
  #suspect = false;

  /** The child is started at once, so the first job finds it warm. */
  constructor(options: ReferenceOptions) {
    this.#options = options;
    this.#child = this.#spawn();
  }

  /** For tests and diagnosis. */
  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  start(job: EngineJob, emit: (event: EngineEvent) => void): EngineRun {
    this.#child ??= this.#spawn();
    const number = ++this.#runs;
    const order: ToChild = { t: "run", run: number, job, faults: this.#options.faults };
    const held = this.#suspect ? [order] : null;
    const run: Run = { number, emit, hangMs: hangMsOf(job, this.#options), watchdog: null, held };
    this.#run = run;
    this.#watch(run);
    this.#tell(held === null ? order : { t: "check", run: number });
    return {
      stop: (why: StopWhy) => {
        const stop: ToChild = { t: "stop", run: number, why };
        if (run.held === null) this.#tell(stop);
        else run.held = [...run.held, stop];
      },
      kill: () => {
        if (this.#run !== run) return;
        this.#over();
        this.#discard();
      },
    };
  }

  async close(): Promise<void> {
    this.#over();
    const last = this.#child;
    this.#discard();
    if (last !== null && last.exitCode === null && last.signalCode === null) await once(last, "exit");
  }

  #spawn(): ChildProcess {
    const child = fork(new URL("./child.ts", import.meta.url), {
      execArgv: [`--max-old-space-size=${CHILD_HEAP_MIB}`, "--expose-gc"],
    });
    this.#ready = false;
    child.on("message", (message: FromChild) => {
      if (message.t !== "ready") this.#hear(message);
      else if (this.#child === child) this.#begun();
    });
    child.on("error", () => undefined); // `exit` follows and says what happened.
    child.on("exit", (code, signal) => {
      if (this.#child !== child) return;
      this.#child = null;
      this.#fail({ code: "exited", detail: `the engine process ended (${signal ?? code})` });
    });
    return child;
  }

  #tell(message: ToChild): void {
    // A child that just died is reported by its `exit`; the message is then of no use.
    if (this.#child?.connected === true) this.#child.send(message, () => undefined);
  }

  #begun(): void {
    this.#ready = true;
    if (this.#run !== null) this.#watch(this.#run);
  }

  #hear(message: Exclude<FromChild, { t: "ready" }>): void {
    const run = this.#run;
    if (run === null || run.number !== message.run) return;
    if (message.t === "checked") return this.#checked(run, message.latents);
    const { event } = message;
    if (ENDINGS.has(event.t)) this.#over();
    else this.#watch(run);
    // Whatever went wrong in there may go wrong again: the next job gets a fresh process.
    if (event.t === "failed" && event.error.class === "engine_fatal") this.#suspectIt();
    run.emit(event);
  }

  #checked(run: Run, latents: Sha256Hex): void {
    if (latents !== (this.#options.knownAnswer ?? KNOWN_ANSWER)) {
      return this.#fail({ code: "known_answer", detail: `the known-answer job gave ${latents}` });
    }
    this.#suspect = false;
    for (const message of run.held ?? []) this.#tell(message);
    run.held = null;
    this.#watch(run);
  }

  #watch(run: Run): void {
    clearTimeout(run.watchdog ?? undefined);
    const [code, ms] = this.#ready ? (["hung_step", run.hangMs] as const) : (["not_begun", BEGIN_MS_MAX] as const);
    run.watchdog = setTimeout(() => this.#fail({ code, detail: `no progress for ${ms} ms` }), ms);
  }

  /** A device that fails before the job began is at fault itself; only what happens in a job may be the job's. */
  #fail(what: Pick<RunError, "code" | "detail">): void {
    const run = this.#run;
    const began = this.#ready && run?.held === null;
    this.#over();
    this.#suspectIt();
    run?.emit({ t: "failed", error: { class: began ? "engine_fatal" : "gpu_fatal", ...what } });
  }

  #suspectIt(): void {
    this.#suspect = true;
    this.#discard();
  }

  #over(): void {
    clearTimeout(this.#run?.watchdog ?? undefined);
    this.#run = null;
  }

  #discard(): void {
    const child = this.#child;
    this.#child = null;
    child?.kill("SIGKILL");
  }
}

function hangMsOf(job: EngineJob, options: ReferenceOptions): number {
  const knobs = readKnobs(job.spec.prompt, options.faults);
  const grid = gridOf(job.spec.width, job.spec.height, job.spec.frames);
  const cells = grid.width * grid.height;
  const clips = cells < LARGE_GRID_CELLS ? CLIPS_SMALL : CLIPS_LARGE;
  const stepMs = (cells * grid.frames * clips * CELL_NANOSECONDS_MAX * knobs.slow) / 1e6 + knobs.idleMs;
  return Math.max(options.hangMsMin ?? HANG_MS_MIN, HANG_MULTIPLE * stepMs);
}
