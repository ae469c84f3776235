/** The p95 wait of every tier over time of submission, on a logarithmic scale, over bars of how many jobs came. */
import { percentile } from "./metrics/percentile.ts";
import type { JobLife } from "./metrics/job-lives.ts";
import { axisX, duration, heading, HEIGHTS, INK, label, PANEL, short, tierColour, xOf } from "./svg-style.ts";
import type { Scale } from "./svg-style.ts";

/** Few enough that a small tier's p95 is more than its one unlucky job. */
export const BINS = 24;
const MARKS_S = [1, 10, 60, 600, 3_600, 36_000, 360_000] as const;
/** Of the panel's height, for the bin that most jobs came in. */
const BAR_SHARE = 0.35;

export function binOf({ submittedMs }: JobLife, endMs: number): number {
  return Math.min(BINS - 1, Math.floor((submittedMs / endMs) * BINS));
}

export function waitPanel(tiers: readonly string[], lives: readonly JobLife[], scale: Scale): string {
  const yOf = (seconds: number) =>
    HEIGHTS.wait * (1 - Math.log(Math.max(1, seconds)) / Math.log(Math.max(10, scale.longestWaitS)));
  const width = PANEL.plot / BINS;
  const bars = [...Map.groupBy(lives, (life) => binOf(life, scale.endMs))].map(([bin, own]) => {
    const height = (own.length / scale.busiestBin) * HEIGHTS.wait * BAR_SHARE;
    return `M${short(PANEL.left + bin * width + 1)} ${HEIGHTS.wait}v${short(-height)}h${short(width - 2)}V${HEIGHTS.wait}z`;
  });
  const marks = MARKS_S.filter((mark) => mark <= scale.longestWaitS).map((mark) => {
    const y = yOf(mark);
    const text = mark === 1 ? "at once" : duration(mark);
    return `<path d="M${PANEL.left} ${short(y)}h${PANEL.plot}" stroke="${INK.grid}"/>${label(PANEL.left - 8, y + 4, text, "end")}`;
  });
  const each = duration(scale.endMs / 1_000 / BINS);
  return [
    heading(`p95 wait of the jobs that came within ${each}; grey bars: how many came`),
    ...marks,
    `<path d="${bars.join("")}" fill="${INK.grid}"/>`,
    ...tiers.map((tier) => tierLine(tier, lives, scale, yOf)),
    axisX(HEIGHTS.wait, scale),
  ].join("\n");
}

/** A dot a bin, joined to its neighbour's; where no job came there is neither. */
function tierLine(tier: string, lives: readonly JobLife[], scale: Scale, yOf: (seconds: number) => number): string {
  const bins = Map.groupBy(
    lives.filter((life) => life.tier === tier),
    (life) => binOf(life, scale.endMs),
  );
  const colour = tierColour(tier);
  let path = "";
  const dots: string[] = [];
  for (let bin = 0; bin < BINS; bin++) {
    const own = bins.get(bin);
    if (own === undefined) continue;
    const waitsS = own.map(({ waitMs }) => waitMs / 1_000);
    const [x, y] = [short(xOf(((bin + 0.5) / BINS) * scale.endMs, scale)), short(yOf(percentile(waitsS, 0.95)))];
    path += `${bins.has(bin - 1) ? "L" : "M"}${x} ${y}`;
    dots.push(`<circle cx="${x}" cy="${y}" r="3.2" fill="${colour}"/>`);
  }
  return path === "" ? "" : `<path d="${path}" fill="none" stroke="${colour}" stroke-width="2"/>${dots.join("")}`;
}
