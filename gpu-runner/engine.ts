/**
 * What the runner asks of anything that renders. One `EngineDevice` is one slot of a device and runs one job at a time.
 *
 * A gang is given to the engine on its first device; the others stay empty for as long as the attempt renders. An engine
 * that knows sequence parallelism uses them all. The reference engine does not: it renders on the first one, as fast as alone.
 *
 * A draft (`spec.stop_after`) ends at that step: its checkpoint is kept whatever it cost, and its video shows what the model
 * expects of the picture there.
 *
 * Promises: a run emits in order and ends with exactly one of `artifact`, `stopped`, `failed`, unless it was killed, after
 * which it emits nothing. Files it names lie in the job's folder and are complete (written, synced, renamed).
 */
import type { VideoId } from "#protocol/id.ts";
import type { EngineCaps, LeaseRef, RunSpec } from "#protocol/runner.ts";
import type { EngineReport, StopWhy } from "./core/attempt.ts";

export type { StopWhy };

export interface EngineJob {
  readonly lease: LeaseRef;
  readonly spec: RunSpec;
  /** Scratch folder of this attempt. */
  readonly dir: string;
  /** A `ckpt/1` file to go on from; its compat key must match, and it must have been written for that job. */
  readonly checkpoint: { readonly path: string; readonly writtenFor: VideoId } | null;
  readonly referencePath: string | null;
}

/** What an engine says about a run; the session core hears the same. */
export type EngineEvent = EngineReport;

export interface EngineRun {
  /** Ends at the next step boundary; `preempt` and `drain` leave a checkpoint first. */
  stop(why: StopWhy): void;
  /** Ends at once, whatever it is doing; nothing is emitted afterwards. */
  kill(): void;
}

/** A slot of a device, with an engine of its own. */
export interface EngineDevice {
  start(job: EngineJob, emit: (event: EngineEvent) => void): EngineRun;
  close(): Promise<void>;
}

export interface Gpu {
  /** As its driver calls it. */
  readonly name: string;
  readonly vramBytes: number;
}

export interface Engine {
  readonly name: string;
  /** Names the code that made a checkpoint; part of its compat key. */
  readonly build: string;
  readonly models: readonly string[];
  readonly caps: EngineCaps;
  /** What it found to compute on; null if that is the CPU, which may be declared to be any number of devices. */
  readonly gpus: readonly Gpu[] | null;
  /** `index` counts the devices of the host. */
  openDevice(index: number): EngineDevice;
}

/** The step after which a run has only the decoding before it. */
export function lastStepOf({ stop_after: stopAfter, steps }: RunSpec): number {
  return stopAfter ?? steps;
}
