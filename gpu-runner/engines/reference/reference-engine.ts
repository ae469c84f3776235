/**
 * The `reference` engine as the runner sees it: one warm child process per device, killed and replaced when it dies,
 * hangs or must stop at once. It renders procedural pictures by diffusion; it has no weights and is no AI model.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import type { RunError } from "#protocol/runner.ts";
import type { Engine, EngineDevice, EngineEvent, EngineJob, EngineRun } from "../../engine.ts";
import { REFERENCE_BUILD } from "./build.ts";
import type { FromChild, ToChild } from "./child-message.ts";
import { CLIPS_LARGE, CLIPS_SMALL, LARGE_GRID_CELLS } from "./dictionary.ts";
import { readKnobs } from "./knobs.ts";
import { gridOf } from "./sampler.ts";

/** A step may take three times what is expected of the slowest, and never less than this is called a hang. */
export const HANG_MS_MIN = 10_000;
const HANG_MULTIPLE = 3;
/** A pessimistic cost of one cell of one clip in one step: a loaded host with slow cores. */
const CELL_NANOSECONDS_MAX = 150;
const CHILD_HEAP_MIB = 512;

export interface ReferenceOptions {
  readonly faults: boolean;
  /** Shortens the hang watchdog in tests. */
  readonly hangMsMin?: number;
}

export function referenceEngine(options: ReferenceOptions): Engine {
  return {
    name: "reference",
    build: REFERENCE_BUILD,
    models: ["reference"],
    caps: { checkpoint: "exact", step_progress: true, cancel: "step" },
    openDevice: () => openDevice(options),
  };
}

interface Run {
  readonly number: number;
  readonly emit: (event: EngineEvent) => void;
  readonly hangMs: number;
  watchdog: NodeJS.Timeout;
}

function openDevice(options: ReferenceOptions): EngineDevice {
  let child: ChildProcess | null = spawnChild();
  let run: Run | null = null;
  let runs = 0;

  function spawnChild(): ChildProcess {
    const made = fork(new URL("./child.ts", import.meta.url), { execArgv: [`--max-old-space-size=${CHILD_HEAP_MIB}`] });
    made.on("message", (message: FromChild) => heard(message));
    made.on("error", () => undefined); // `exit` follows, and says what happened.
    made.on("exit", (code, signal) => {
      if (child !== made) return;
      child = null;
      end({
        class: "engine_fatal",
        code: "exited",
        detail: `the engine process ended (${signal ?? code ?? "unknown"})`,
      });
    });
    return made;
  }

  function heard({ run: number, event }: FromChild): void {
    if (run === null || run.number !== number) return;
    const { emit } = run;
    if (event.t === "failed" || event.t === "stopped" || event.t === "artifact") clear();
    else watch(run);
    emit(event);
  }

  function clear(): void {
    if (run !== null) clearTimeout(run.watchdog);
    run = null;
  }

  function end(error: RunError): void {
    const over = run;
    clear();
    over?.emit({ t: "failed", error });
  }

  function watch(watched: Run): void {
    clearTimeout(watched.watchdog);
    watched.watchdog = setTimeout(() => {
      discardChild();
      end({ class: "engine_fatal", code: "hung_step", detail: `no progress for ${watched.hangMs} ms` });
    }, watched.hangMs);
  }

  function discardChild(): void {
    const dead = child;
    child = null;
    dead?.kill("SIGKILL");
  }

  return {
    start(job: EngineJob, emit): EngineRun {
      child ??= spawnChild();
      const started: Run = {
        number: ++runs,
        emit,
        hangMs: hangMsOf(job, options),
        watchdog: setTimeout(() => undefined, 0),
      };
      run = started;
      watch(started);
      const tell = (message: ToChild): void => {
        if (child?.connected === true) child.send(message, () => undefined);
      };
      tell({ t: "run", run: started.number, job, faults: options.faults });
      return {
        stop: (why) => tell({ t: "stop", run: started.number, why }),
        kill() {
          if (run !== started) return;
          clear();
          discardChild();
        },
      };
    },
    async close() {
      clear();
      const last = child;
      discardChild();
      if (last !== null && last.exitCode === null && last.signalCode === null) await once(last, "exit");
    },
  };
}

function hangMsOf(job: EngineJob, options: ReferenceOptions): number {
  const knobs = readKnobs(job.spec.prompt, options.faults);
  const grid = gridOf(job.spec.width, job.spec.height, job.spec.frames);
  const cells = grid.width * grid.height;
  const clips = cells < LARGE_GRID_CELLS ? CLIPS_SMALL : CLIPS_LARGE;
  const stepMs = (cells * grid.frames * clips * CELL_NANOSECONDS_MAX * knobs.slow) / 1e6 + knobs.idleMs;
  return Math.max(options.hangMsMin ?? HANG_MS_MIN, HANG_MULTIPLE * stepMs);
}
