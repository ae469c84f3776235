/** An engine as the conformance suite sees it, and runs of it. Every engine brings a file that makes one of these. */
import { readFileSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import type { EngineDevice, EngineEvent, EngineJob, EngineRun } from "#gpu-runner/engine.ts";
import { Sha256Hex, VideoId } from "#protocol/id.ts";
import type { EngineCaps, RunSpec } from "#protocol/runner.ts";

export const JOB = VideoId.parse(`video_${"a".repeat(32)}`);
export const OTHER_JOB = VideoId.parse(`video_${"b".repeat(32)}`);
/** No engine's answer. */
export const WRONG_ANSWER = Sha256Hex.parse("0".repeat(64));

export interface OpenDevice extends EngineDevice {
  /** Of the engine's process. */
  readonly pid: number | null;
}

export interface DeviceOptions {
  readonly hangMsMin?: number;
  /** What the device must answer after a failure, instead of the right thing. */
  readonly knownAnswer?: Sha256Hex;
}

export interface Subject {
  readonly name: string;
  readonly caps: EngineCaps;
  /** A small video of some eight steps. */
  readonly spec: RunSpec;
  /** With a process of its own. */
  open(options?: DeviceOptions): OpenDevice;
  /** Whether prompts turn fault knobs (`knobs.ts`) in it. */
  readonly faultKnobs: boolean;
  /** Whether a decode that does not fit into memory in one piece is done in tiles. */
  readonly decodesInTiles: boolean;
  /** Longer than any step of `spec` on a loaded machine. */
  readonly hangMs: number;
}

export type Ending = Extract<EngineEvent, { t: "artifact" | "stopped" | "failed" }>;
export type Checkpoint = Extract<EngineEvent, { t: "checkpoint" }>;

export interface Played {
  readonly ending: Ending;
  readonly events: readonly EngineEvent[];
}

/** With a folder that goes with the test, or with what `cleanUp` is told of. */
export async function aJob(
  subject: Pick<Subject, "spec">,
  change: Partial<RunSpec> = {},
  resume?: Checkpoint,
  cleanUp: (end: () => Promise<void>) => void = onTestFinished,
): Promise<EngineJob> {
  const dir = await mkdtemp(join(tmpdir(), "callsheet-conformance-"));
  cleanUp(() => rm(dir, { recursive: true, force: true }));
  const epoch = resume === undefined ? 1 : 2;
  const spec = { ...subject.spec, ...change };
  const checkpoint = resume === undefined ? null : { path: resume.path, writtenFor: JOB };
  return { lease: { job: JOB, epoch }, spec, dir, checkpoint, referencePath: null };
}

/** Runs a job to its ending; `on` sees every event and may stop the run. */
export function play(
  device: EngineDevice,
  job: EngineJob,
  on: (event: EngineEvent, run: EngineRun) => void = () => undefined,
): Promise<Played> {
  return new Promise((resolve) => {
    const events: EngineEvent[] = [];
    const run: EngineRun = device.start(job, (event) => {
      events.push(event);
      // An engine may speak before it has handed over the run.
      queueMicrotask(() => on(event, run));
      if (isEnding(event)) resolve({ ending: event, events });
    });
  });
}

export function isEnding(event: EngineEvent): event is Ending {
  return event.t === "artifact" || event.t === "stopped" || event.t === "failed";
}

export function denoiseSteps(events: readonly EngineEvent[]): number[] {
  return events.flatMap((event) => (event.t === "step" && event.stage === "denoise" ? [event.done] : []));
}

export function checkpointsOf(events: readonly EngineEvent[]): readonly Checkpoint[] {
  return events.filter((event) => event.t === "checkpoint");
}

/** What two renderings are compared by: latents and frames, or the file of an engine that shows neither. */
export function picturesOf({ ending }: Played): { readonly latents: string; readonly frames: string | null } {
  if (ending.t !== "artifact") throw new Error(`expected a video, got ${JSON.stringify(ending)}`);
  const { latents_sha256: latents, frames_sha256: frames, sha256 } = ending.artifact;
  return { latents: latents ?? sha256, frames };
}

/** Every process whose group or own id this is; zombies hold nothing any more. Linux only. */
export async function processesOf(leader: number): Promise<number[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  return pids.filter((pid) => {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      const [state, , group] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return state !== "Z" && (pid === leader || Number(group) === leader);
    } catch {
      return false; // It ended while we looked.
    }
  });
}
