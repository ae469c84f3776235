/** The p95 wait of every tier over time of submission, on a logarithmic scale. */
import { jobLives } from "./metrics/job-lives.ts";
import { percentile } from "./metrics/percentile.ts";
import type { RunLog } from "./log-record.ts";
import { axisX, duration, HEIGHTS, label, PANEL, TIER_COLOURS } from "./svg-style.ts";

const BINS = 60;
const MARKS_S = [1, 10, 60, 600, 3_600, 36_000, 360_000] as const;

export function waitPanel({ config, records }: RunLog, endMs: number): string {
  const lives = jobLives(records);
  const longestS = Math.max(10, ...lives.map(({ waitMs }) => waitMs / 1_000));
  const yOf = (seconds: number) => HEIGHTS.wait * (1 - Math.log(Math.max(1, seconds)) / Math.log(longestS));
  const lines = config.tiers.map((tier) => {
    const bins = Map.groupBy(
      lives.filter((life) => life.tier === tier),
      ({ submittedMs }) => Math.min(BINS - 1, Math.floor((submittedMs / endMs) * BINS)),
    );
    const points = [...bins]
      .toSorted(([a], [b]) => a - b)
      .map(([bin, own]) => {
        const p95 = percentile(
          own.map(({ waitMs }) => waitMs / 1_000),
          0.95,
        );
        return `${(PANEL.left + ((bin + 0.5) / BINS) * PANEL.plot).toFixed(1)},${yOf(p95).toFixed(1)}`;
      });
    const colour = TIER_COLOURS[tier] ?? "#888888";
    return `<polyline points="${points.join(" ")}" fill="none" stroke="${colour}" stroke-width="2"/>`;
  });
  const marks = MARKS_S.filter((mark) => mark <= longestS).map(
    (mark) =>
      `<path d="M${PANEL.left} ${yOf(mark).toFixed(1)}h${PANEL.plot}" stroke="#e2e2e0"/>${label(PANEL.left - 8, yOf(mark) + 4, duration(mark), "end")}`,
  );
  return [
    label(PANEL.left, -4, "p95 wait by tier, by time of submission"),
    ...marks,
    ...lines,
    axisX(HEIGHTS.wait, endMs),
  ].join("\n");
}
