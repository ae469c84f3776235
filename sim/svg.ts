/**
 * A picture of runs that a person can read: for each policy how long each tier waited over time, what every GPU did, and
 * which accounts got how much. All policies are drawn to one scale.
 */
import type { RunLog } from "./log-record.ts";
import { jobLives } from "./metrics/job-lives.ts";
import type { JobLife } from "./metrics/job-lives.ts";
import { percentile } from "./metrics/percentile.ts";
import { HEAVY_JOBS_MIN, LIGHT_JOBS_MAX, waits } from "./metrics/wait.ts";
import { gpuPanel } from "./svg-gpus.ts";
import { sharePanel } from "./svg-share.ts";
import { duration, HEIGHTS, INK, label, PANEL, tierColour } from "./svg-style.ts";
import type { Scale } from "./svg-style.ts";
import { binOf, waitPanel } from "./svg-wait.ts";

const HEADER = 78;
const GAP = 56;
/** Between two policies. */
const FOOTER = 24;
const LEGEND = { right: 980, step: 132 } as const;

/** `workload`: what the jobs are called together. */
export function drawRuns(logs: readonly RunLog[], workload: string): string {
  const block = HEADER + HEIGHTS.wait + HEIGHTS.gpus + HEIGHTS.share + 2 * GAP + FOOTER;
  const runs = logs.map((log) => ({ log, lives: jobLives(log.records) }));
  const scale = scaleOf(
    logs,
    runs.map(({ lives }) => lives),
  );
  const height = block * logs.length;
  const names = logs.map(({ config }) => config.policy).join(", ");
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${PANEL.width} ${height}" role="img" font-family="sans-serif" font-size="13" fill="${INK.text}">`,
    `<title>Waits, GPUs and accounts under ${names.replaceAll("&", "&amp;").replaceAll("<", "&lt;")}</title>`,
    `<rect width="${PANEL.width}" height="${height}" fill="#ffffff"/>`,
    ...runs.map(
      ({ log, lives }, index) =>
        `<g transform="translate(0 ${index * block})">${drawRun(log, lives, { scale, workload })}</g>`,
    ),
    "</svg>",
    "",
  ].join("\n");
}

function scaleOf(logs: readonly RunLog[], lives: readonly (readonly JobLife[])[]): Scale {
  const endMs = logs.reduce((latest, { records }) => Math.max(latest, records.at(-1)?.t_ms ?? 0), 1);
  let [longestWaitS, busiestBin] = [1, 1];
  for (const run of lives) {
    for (const { waitMs } of run) longestWaitS = Math.max(longestWaitS, waitMs / 1_000);
    for (const own of Map.groupBy(run, (life) => binOf(life, endMs)).values())
      busiestBin = Math.max(busiestBin, own.length);
  }
  return { endMs, longestWaitS, busiestBin };
}

interface Frame {
  readonly scale: Scale;
  readonly workload: string;
}

function drawRun(log: RunLog, lives: readonly JobLife[], { scale, workload }: Frame): string {
  const gpusTop = HEADER + HEIGHTS.wait + GAP;
  const shareTop = gpusTop + HEIGHTS.gpus + GAP;
  const { policy, seed, runners, tiers } = log.config;
  const gpus = runners.reduce((sum, { devices }) => sum + devices.length, 0);
  const { light, heavy } = waits(lives, log.config);
  const about = [
    `${workload}, seed ${seed}: ${lives.length} jobs on ${gpus} GPUs in ${runners.length} runners`,
    `p95 wait of accounts with up to ${LIGHT_JOBS_MAX} jobs ${duration(light.p95)}, with ${HEAVY_JOBS_MIN} or more ${duration(heavy.p95)}`,
  ].join(" · ");
  return [
    label(PANEL.left, 24, policy, "bold"),
    label(PANEL.left, 42, about, "faint"),
    ...tiers.map((tier, index) => {
      const x = LEGEND.right - (tiers.length - index) * LEGEND.step;
      const waitsS = lives.filter((life) => life.tier === tier).map(({ waitMs }) => waitMs / 1_000);
      const text = waitsS.length === 0 ? tier : `${tier}: p95 ${duration(percentile(waitsS, 0.95))}`;
      return `<rect x="${x}" y="12" width="12" height="12" fill="${tierColour(tier)}"/>${label(x + 18, 23, text)}`;
    }),
    `<g transform="translate(0 ${HEADER})">${waitPanel(tiers, lives, scale)}</g>`,
    `<g transform="translate(0 ${gpusTop})">${gpuPanel(log, scale)}</g>`,
    `<g transform="translate(0 ${shareTop})">${sharePanel(log, lives)}</g>`,
  ].join("\n");
}
