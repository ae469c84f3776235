/**
 * Renders a 1080p, 60 s video through the whole product and prints what the runner and its engine took: peak memory of
 * both together (resident, as the kernel counts it, Linux only) and wall time.
 *
 * `npm run bench:memory [-- steps [seconds]]`; ends with 1 above 1 GiB.
 */
import { readFileSync } from "node:fs";
import { z } from "zod";
import { Product, until } from "#tests/support/product.ts";

const LIMIT_MIB = 1_024;
const SAMPLE_MS = 100;
const DEADLINE_MS = 60 * 60_000;

const Created = z.object({ id: z.string() });
const Read = z.object({ status: z.string(), progress: z.int(), error: z.unknown() });

const steps = Number(process.argv[2] ?? 30);
const seconds = Number(process.argv[3] ?? 60);
const product = await Product.start({ CALLSHEET_RUNNERS: "1" });
const [runner = 0] = product.dev.pids.runners;
let peakMib = 0;
let enginePeakMib = 0;
const samples = setInterval(() => {
  const engine = childrenOf(runner).reduce((sum, pid) => sum + residentMib(pid), 0);
  enginePeakMib = Math.max(enginePeakMib, engine);
  peakMib = Math.max(peakMib, residentMib(runner) + engine);
}, SAMPLE_MS);
try {
  const startedMs = performance.now();
  const video = await rendered();
  const { artifact_bytes: bytes } = (await product.sql`select artifact_bytes from job`)[0] ?? {};
  console.log(
    JSON.stringify({
      status: video.status,
      error: video.error,
      steps,
      seconds,
      wall_s: Math.round((performance.now() - startedMs) / 1_000),
      mp4_mib: Math.round(Number(bytes) / 2 ** 20),
      engine_peak_mib: Math.round(enginePeakMib),
      runner_and_engine_peak_mib: Math.round(peakMib),
      limit_mib: LIMIT_MIB,
    }),
  );
  process.exitCode = video.status === "completed" && peakMib <= LIMIT_MIB ? 0 : 1;
} finally {
  clearInterval(samples);
  await product.stop();
}

async function rendered(): Promise<z.infer<typeof Read>> {
  const headers = { authorization: `Bearer ${product.key("pro")}`, "content-type": "application/json" };
  const url = `${product.dev.edge_url}/v1/videos`;
  const body = JSON.stringify({ prompt: "waves on a beach at sunset", size: "1920x1080", seconds, steps, seed: 1 });
  const { id } = Created.parse(await (await fetch(url, { method: "POST", headers, body })).json());
  return until("the video is over", DEADLINE_MS, async () => {
    const video = Read.parse(await (await fetch(`${url}/${id}`, { headers })).json());
    return (video.status === "completed" || video.status === "failed") && video;
  });
}

function childrenOf(pid: number): readonly number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);
}

function residentMib(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Number(kib ?? 0) / 1_024;
}
