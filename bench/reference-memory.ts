/**
 * Renders a 1080p, 60 s video through the real engine child and prints what it took: peak memory of both processes (as
 * the kernel counts it), wall time. `node bench/reference-memory.ts [steps] [seconds]`; ends with 1 above 1 GiB.
 */
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ChildDevice } from "#gpu-runner/engines/reference/child-device.ts";
import type { EngineEvent } from "#gpu-runner/engine.ts";
import { VideoId } from "#protocol/id.ts";

const LIMIT_MIB = 1_024;
const SAMPLE_MS = 100;
const FPS = 24;

const steps = Number(process.argv[2] ?? 30);
const seconds = Number(process.argv[3] ?? 60);
const device = new ChildDevice({ faults: false });
const dir = await mkdtemp(join(tmpdir(), "callsheet-bench-"));
let peakTogetherMib = 0;
let childPeakMib = 0;
const samples = setInterval(() => {
  childPeakMib = Math.max(childPeakMib, statusMib(device.pid, "VmHWM"));
  peakTogetherMib = Math.max(peakTogetherMib, statusMib(process.pid, "VmRSS") + statusMib(device.pid, "VmRSS"));
}, SAMPLE_MS);

const startedMs = performance.now();
const marks: string[] = [];
const last = await new Promise<EngineEvent>((resolve) => {
  device.start(
    {
      lease: { job: VideoId.parse(`video_${"0".repeat(32)}`), epoch: 1 },
      spec: {
        model: "reference",
        prompt: "waves on a beach at sunset",
        negative_prompt: "",
        width: 1920,
        height: 1080,
        fps: FPS,
        frames: seconds * FPS,
        steps,
        seed: 1,
        reference: null,
      },
      dir,
      checkpointPath: null,
      referencePath: null,
    },
    (event) => {
      const atS = ((performance.now() - startedMs) / 1_000).toFixed(1);
      if (event.t === "stage") marks.push(`${event.stage} ${atS} s (peak ${childPeakMib.toFixed(0)} MiB)`);
      if (event.t === "artifact" || event.t === "failed" || event.t === "stopped") resolve(event);
    },
  );
});
clearInterval(samples);
await device.close();
await rm(dir, { recursive: true, force: true });
console.log(
  JSON.stringify({
    ended: last,
    steps,
    seconds,
    wall_s: Math.round((performance.now() - startedMs) / 100) / 10,
    stages: marks,
    child_peak_mib: Math.round(childPeakMib),
    together_peak_mib: Math.round(peakTogetherMib),
  }),
);
process.exitCode = last.t === "artifact" && peakTogetherMib <= LIMIT_MIB ? 0 : 1;

/** Linux only: elsewhere the figures are 0. */
function statusMib(pid: number | null, field: "VmHWM" | "VmRSS"): number {
  try {
    const line = new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"));
    return Number(line?.[1] ?? 0) / 1_024;
  } catch {
    return 0; // Not started yet, or already gone.
  }
}
