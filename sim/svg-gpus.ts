/** What every GPU did: one line a device, or a slot of it, runner by runner. Colour is the tier that holds it. */
import { isAttemptEnd } from "./log-record.ts";
import type { AttemptEnd, RunLog } from "./log-record.ts";
import { axisX, heading, HEIGHTS, INK, label, PANEL, short, tierColour, xOf } from "./svg-style.ts";
import type { Scale } from "./svg-style.ts";

/** Labels of more runners than this would overlap. */
const RUNNERS_LABELLED_MAX = 20;
/** What is thinner than this cannot be seen, and would only make the file large. */
const SEEN_WIDTH = 0.2;

interface Bar {
  readonly x: number;
  readonly width: number;
  readonly y: number;
}

export function gpuPanel({ config, records }: RunLog, scale: Scale): string {
  const rows = new Map<string, number>();
  for (const runner of config.runners) for (const device of runner.devices) rows.set(device, rows.size);
  const rowHeight = HEIGHTS.gpus / Math.max(1, rows.size);
  const slotsOf = new Map(config.runners.map(({ id, slots = 1 }) => [id, slots]));
  const begun = new Map<string, { readonly atMs: number; readonly coldMs: number }>();
  /** By pen, so that a colour and a thickness are written once. */
  const bars = new Map<string, Bar[]>();
  const draw = (colour: string, { runner, devices, slot }: AttemptEnd, fromMs: number, toMs: number) => {
    const [x, endX] = [xOf(fromMs, scale), xOf(toMs, scale)];
    if (endX - x < SEEN_WIDTH) return;
    const slots = slot === undefined ? 1 : (slotsOf.get(runner) ?? 1);
    for (const { first, count } of runs(devices.map((device) => rows.get(device) ?? 0))) {
      const thickness = (rowHeight * count) / slots - rowHeight * 0.15;
      const y = (first + (slot === undefined ? count / 2 : (slot + 0.5) / slots)) * rowHeight;
      const pen = `stroke="${colour}" stroke-width="${short(thickness)}"`;
      bars.getOrInsertComputed(pen, () => []).push({ x, width: endX - x, y });
    }
  };
  for (const record of records) {
    if (record.event === "placed") begun.set(record.job, { atMs: record.t_ms, coldMs: record.cold_s * 1_000 });
    if (!isAttemptEnd(record)) continue;
    const start = begun.get(record.job);
    if (start === undefined) continue;
    const warmMs = Math.min(record.t_ms, start.atMs + start.coldMs);
    draw(INK.loading, record, start.atMs, warmMs);
    draw(tierColour(record.tier), record, warmMs, record.t_ms);
  }
  return [
    heading("GPUs over time: whose job, a gang as one block; dark: loading weights; empty: idle"),
    `<rect x="${PANEL.left}" y="0" width="${PANEL.plot}" height="${HEIGHTS.gpus}" fill="${INK.ground}"/>`,
    ...[...bars].map(([pen, own]) => `<path d="${pathOf(own)}" ${pen} fill="none"/>`),
    runnerMarks(config.runners, rowHeight),
    axisX(HEIGHTS.gpus, scale),
  ].join("\n");
}

/** Devices of a gang that lie side by side, to draw them as one. */
function runs(rows: readonly number[]): readonly { readonly first: number; readonly count: number }[] {
  const found: { first: number; count: number }[] = [];
  for (const row of rows.toSorted((a, b) => a - b)) {
    const last = found.at(-1);
    if (last !== undefined && last.first + last.count === row) last.count++;
    else found.push({ first: row, count: 1 });
  }
  return found;
}

/** Line after line, each step from where the last one ended, in tenths of a pixel: the shortest way to write them. */
function pathOf(bars: readonly Bar[]): string {
  const tenths = (value: number) => Math.round(value * 10);
  const text = (value: number) => String(value / 10);
  let [atX, atY] = [0, 0];
  const parts = bars
    .toSorted((a, b) => a.y - b.y || a.x - b.x)
    .map(({ x, width, y }) => {
      const [fromX, toX, lineY] = [tenths(x), tenths(x + width), tenths(y)];
      const part = `m${text(fromX - atX)} ${text(lineY - atY)}h${text(Math.max(1, toX - fromX))}`;
      [atX, atY] = [Math.max(fromX + 1, toX), lineY];
      return part;
    });
  return parts.join("");
}

function runnerMarks(runners: RunLog["config"]["runners"], rowHeight: number): string {
  if (runners.length > RUNNERS_LABELLED_MAX) return "";
  let row = 0;
  return runners
    .map(({ id, devices }) => {
      const [top, middle] = [row * rowHeight, (row + devices.length / 2) * rowHeight];
      row += devices.length;
      return `<path d="M${PANEL.left - 4} ${short(top)}h${PANEL.plot + 4}" stroke="${INK.faint}" stroke-width="0.6"/>${label(PANEL.left - 10, middle + 4, id, "end")}`;
    })
    .join("");
}
