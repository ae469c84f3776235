/**
 * A picture of runs that a person can read: for each policy how long each tier waited over time, what every GPU did, and
 * which accounts got how much.
 */
import { isAttemptEnd } from "./log-record.ts";
import type { AttemptEnd, RunLog } from "./log-record.ts";
import { sharePanel } from "./svg-share.ts";
import { axisX, HEIGHTS, label, PANEL, TIER_COLOURS } from "./svg-style.ts";
import { waitPanel } from "./svg-wait.ts";

const HEADER = 50;
const GAP = 44;

export function drawRuns(logs: readonly RunLog[]): string {
  const block = HEADER + HEIGHTS.wait + HEIGHTS.gpus + HEIGHTS.share + 3 * GAP;
  const endMs = Math.max(1, ...logs.map(({ records }) => records.at(-1)?.t_ms ?? 0));
  const height = block * logs.length + 16;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${PANEL.width} ${height}" font-family="sans-serif" font-size="11">`,
    `<rect width="${PANEL.width}" height="${height}" fill="#ffffff"/>`,
    ...logs.map((log, index) => `<g transform="translate(0 ${index * block})">${drawRun(log, endMs)}</g>`),
    "</svg>",
    "",
  ].join("\n");
}

function drawRun(log: RunLog, endMs: number): string {
  const gpusTop = HEADER + HEIGHTS.wait + GAP;
  const shareTop = gpusTop + HEIGHTS.gpus + GAP;
  const { policy, seed, runners, tiers } = log.config;
  const gpus = runners.reduce((sum, { devices }) => sum + devices.length, 0);
  return [
    label(PANEL.left, 22, `${policy}: ${gpus} GPUs in ${runners.length} runners, seed ${seed}`, "bold"),
    ...tiers.map((tier, index) => {
      const x = PANEL.width - 220 + index * 70;
      return `<rect x="${x}" y="13" width="10" height="10" fill="${TIER_COLOURS[tier] ?? "#888888"}"/>${label(x + 14, 22, tier)}`;
    }),
    `<g transform="translate(0 ${HEADER})">${waitPanel(log, endMs)}</g>`,
    `<g transform="translate(0 ${gpusTop})">${gpuPanel(log, endMs)}</g>`,
    `<g transform="translate(0 ${shareTop})">${sharePanel(log)}</g>`,
  ].join("\n");
}

/** One line a device, or a slot of it, runner by runner; colour is the tier that holds it, dark grey is loading. */
function gpuPanel({ config, records }: RunLog, endMs: number): string {
  const rows = new Map<string, number>();
  for (const runner of config.runners) for (const device of runner.devices) rows.set(device, rows.size);
  const rowHeight = HEIGHTS.gpus / Math.max(1, rows.size);
  const scale = PANEL.plot / endMs;
  const begun = new Map<string, { readonly atMs: number; readonly coldMs: number }>();
  const bars = new Map<string, string[]>();
  const slotsOf = new Map(config.runners.map(({ id, slots = 1 }) => [id, slots]));
  const draw = (colour: string, device: string, { runner, slot }: AttemptEnd, fromMs: number, toMs: number) => {
    const slots = slot === undefined ? 1 : (slotsOf.get(runner) ?? 1);
    const y = ((rows.get(device) ?? 0) + ((slot ?? 0) + 0.5) / slots) * rowHeight;
    const [x, width] = [PANEL.left + fromMs * scale, Math.max(0.05, (toMs - fromMs) * scale)];
    const pen = `stroke="${colour}" stroke-width="${((rowHeight * 0.85) / slots).toFixed(2)}"`;
    bars.getOrInsertComputed(pen, () => []).push(`M${x.toFixed(2)} ${y.toFixed(1)}h${width.toFixed(2)}`);
  };
  for (const record of records) {
    if (record.event === "placed") begun.set(record.job, { atMs: record.t_ms, coldMs: record.cold_s * 1_000 });
    if (!isAttemptEnd(record)) continue;
    const start = begun.get(record.job);
    if (start === undefined) continue;
    const warmMs = Math.min(record.t_ms, start.atMs + start.coldMs);
    for (const device of record.devices) {
      if (start.coldMs > 0) draw("#555555", device, record, start.atMs, warmMs);
      draw(TIER_COLOURS[record.tier] ?? "#888888", device, record, warmMs, record.t_ms);
    }
  }
  const runnerLabels = config.runners.map(({ id, devices }) => {
    const y = ((rows.get(devices[0] ?? "") ?? 0) + devices.length / 2) * rowHeight + 4;
    return config.runners.length > 40 ? "" : label(PANEL.left - 8, y, id, "end");
  });
  return [
    label(PANEL.left, -6, "GPUs over time (grey: loading weights)"),
    `<rect x="${PANEL.left}" y="0" width="${PANEL.plot}" height="${HEIGHTS.gpus}" fill="#f4f4f2"/>`,
    ...[...bars].map(([pen, paths]) => `<path d="${paths.join("")}" ${pen} fill="none"/>`),
    ...runnerLabels,
    axisX(HEIGHTS.gpus, endMs),
  ].join("\n");
}
