import { expect, test } from "vitest";
import type { LogRecord, RunLog } from "#sim/log-record.ts";
import { drawRuns } from "#sim/svg.ts";
import { ask, runToy } from "./toy.ts";

const HOUR_MS = 3_600_000;

/** One runner of four devices; a job ends at `toH` and started an hour before. */
function history(jobs: readonly { readonly devices: readonly string[]; readonly toH: number }[]): RunLog {
  const config = {
    ...runToy([]).log.config,
    runners: [{ id: "host", gpu: "H100-80", vram_gb: 80, devices: ["a", "b", "c", "d"] }],
  };
  const records = jobs.flatMap(({ devices, toH }, index): LogRecord[] => {
    const job = { job: `j${index}`, account: "some", tier: "pro", class: "c" };
    const attempt = { ...job, runner: "host", devices: [...devices], k: devices.length, epoch: 1, gpu_seconds: 1 };
    const startMs = (toH - 1) * HOUR_MS;
    return [
      { event: "submitted", t_ms: startMs, ...job, weights: "", gpu_seconds: 1 },
      { event: "placed", t_ms: startMs, ...attempt, lost_gpu_s: 0, cold_s: 0 },
      { event: "finished", t_ms: toH * HOUR_MS, ...attempt, lost_gpu_s: 0 },
    ];
  });
  return { config, records };
}

const labels = (svg: string) => [...svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map(([, text]) => text ?? "");

test("names cannot break it", () => {
  const { log } = runToy([ask(0, "<b>&")]);
  expect(drawRuns([log], "a<b")).toContain("&lt;b>&amp;");
  expect(drawRuns([log], "a<b")).toContain("a&lt;b, seed");
});

test("a gang on neighbouring devices is one block, a gang with a gap between them two", () => {
  const [height, gap] = [272 / 4, (272 / 4) * 0.15];
  const widths = (...devices: readonly string[]) =>
    [...drawRuns([history([{ devices, toH: 2 }])], "w").matchAll(/stroke-width="([\d.]+)" fill="none"\/>/g)]
      .map(([, width]) => Number(width))
      .filter((width) => width > 2);
  expect(widths("b", "c", "d")).toEqual([Math.round((3 * height - gap) * 10) / 10]);
  expect(widths("a", "c", "d")).toEqual([height - gap, 2 * height - gap].map((width) => Math.round(width * 10) / 10));
});

test("its axis counts in round hours, and all policies share it", () => {
  const short = history([{ devices: ["a"], toH: 2 }]);
  const long = history([{ devices: ["a"], toH: 20.5 }]);
  const hours = labels(drawRuns([short, long], "w")).filter((text) => /^\d+ h$/.test(text));
  const expected = Array.from({ length: 11 }, (_, tick) => `${tick * 2} h`);
  // Below the waits and below the GPUs, for either policy.
  expect(hours).toEqual([...expected, ...expected, ...expected, ...expected]);
});

test("a tier's line is broken where none of its jobs came", () => {
  const steady = history([1, 2, 3].map((toH) => ({ devices: ["a"], toH })));
  const gappy = history([1, 2, 24].map((toH) => ({ devices: ["a"], toH })));
  const lines = (log: RunLog) =>
    /<path d="([^"]*)" fill="none" stroke="#7b3f9d"/.exec(drawRuns([log, gappy], "w"))?.[1];
  expect(lines(steady)?.match(/M/g)).toHaveLength(1);
  expect(lines(gappy)?.match(/M/g)).toHaveLength(2);
});
