/**
 * What the runner asks of anything that renders. One `EngineDevice` is one device and runs one job at a time.
 *
 * Promises: a run emits in order and ends with exactly one of `artifact`, `stopped`, `failed`, unless it was killed, after
 * which it emits nothing. Files it names lie in the job's folder and are complete (written, synced, renamed).
 */
import type { Artifact, EngineCaps, LeaseRef, RunError, RunSpec, Stage } from "#protocol/runner.ts";
import type { Sha256Hex } from "#protocol/id.ts";

export type StopWhy = "preempt" | "cancel" | "drain";

export interface EngineJob {
  readonly lease: LeaseRef;
  readonly spec: RunSpec;
  /** Scratch folder of this attempt. */
  readonly dir: string;
  /** A `ckpt/1` file to go on from; its compat key must match. */
  readonly checkpointPath: string | null;
  readonly referencePath: string | null;
}

export type EngineEvent =
  | { readonly t: "stage"; readonly stage: Stage }
  | { readonly t: "step"; readonly stage: Stage; readonly done: number; readonly of: number; readonly ms: number }
  | {
      readonly t: "checkpoint";
      readonly step: number;
      readonly path: string;
      readonly sha256: Sha256Hex;
      readonly bytes: number;
    }
  | { readonly t: "artifact"; readonly path: string; readonly artifact: Artifact }
  | { readonly t: "stopped"; readonly step: number }
  | { readonly t: "failed"; readonly error: RunError };

export interface EngineRun {
  /** Ends at the next step boundary; `preempt` and `drain` leave a checkpoint first. */
  stop(why: StopWhy): void;
  /** Ends at once, whatever it is doing; nothing is emitted afterwards. */
  kill(): void;
}

export interface EngineDevice {
  start(job: EngineJob, emit: (event: EngineEvent) => void): EngineRun;
  close(): Promise<void>;
}

export interface Engine {
  readonly name: string;
  /** Names the code that made a checkpoint; part of its compat key. */
  readonly build: string;
  readonly models: readonly string[];
  readonly caps: EngineCaps;
  openDevice(): EngineDevice;
}
