/** Builders for renders by the real reference engine in its real child process. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import type { EngineEvent, EngineJob, EngineRun } from "#gpu-runner/engine.ts";
import type { ChildDevice } from "#gpu-runner/engines/reference/child-device.ts";
import type { RunSpec } from "#protocol/runner.ts";
import { JOB } from "./job-name.ts";

export { JOB };

export function aSpec(change: Partial<RunSpec> = {}): RunSpec {
  return {
    model: "reference",
    prompt: "a red fox in the snow",
    negative_prompt: "",
    width: 320,
    height: 192,
    fps: 24,
    frames: 24,
    steps: 8,
    seed: 7,
    stop_after: null,
    reference: null,
    ...change,
  };
}

/** With a folder that goes with the test. */
export async function aJob(change: Partial<EngineJob> = {}): Promise<EngineJob> {
  const dir = await mkdtemp(join(tmpdir(), "callsheet-test-"));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  return { lease: { job: JOB, epoch: 1 }, spec: aSpec(), dir, checkpoint: null, referencePath: null, ...change };
}

export type Ending = Extract<EngineEvent, { t: "artifact" | "stopped" | "failed" }>;

/** Runs a job to its ending; `on` sees every event and may stop the run. */
export function runJob(
  device: ChildDevice,
  job: EngineJob,
  on: (event: EngineEvent, run: EngineRun) => void = () => undefined,
): Promise<{ ending: Ending; events: readonly EngineEvent[] }> {
  return new Promise((resolve) => {
    const events: EngineEvent[] = [];
    const run: EngineRun = device.start(job, (event) => {
      events.push(event);
      on(event, run);
      if (event.t === "artifact" || event.t === "stopped" || event.t === "failed") resolve({ ending: event, events });
    });
  });
}
