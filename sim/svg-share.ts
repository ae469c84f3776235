/** The accounts that got most: their part of all charged GPU time, and how long their jobs waited. */
import { isAttemptEnd } from "./log-record.ts";
import type { RunLog } from "./log-record.ts";
import { jobLives } from "./metrics/job-lives.ts";
import { percentile } from "./metrics/percentile.ts";
import { duration, HEIGHTS, label, PANEL, TIER_COLOURS } from "./svg-style.ts";

const ACCOUNTS_SHOWN = 11;
/** Characters of an account's name; its end says more than its beginning. */
const NAME_SHOWN = 10;

export function sharePanel({ records }: RunLog): string {
  const got = new Map<string, { readonly tier: string; gpuS: number }>();
  for (const record of records) {
    if (!isAttemptEnd(record)) continue;
    got.getOrInsertComputed(record.account, () => ({ tier: record.tier, gpuS: 0 })).gpuS += record.gpu_seconds;
  }
  const total = Math.max(
    1,
    [...got.values()].reduce((sum, { gpuS }) => sum + gpuS, 0),
  );
  const lives = Map.groupBy(jobLives(records), ({ account }) => account);
  const ordered = [...got].toSorted(([a, x], [b, y]) => y.gpuS - x.gpuS || (a < b ? -1 : 1));
  const shown = ordered.slice(0, ACCOUNTS_SHOWN);
  const rest = ordered.slice(ACCOUNTS_SHOWN);
  const widest = Math.max(...shown.map(([, { gpuS }]) => gpuS), 1);
  const step = HEIGHTS.share / (ACCOUNTS_SHOWN + 1);
  const bars = shown.map(([account, { tier, gpuS }], index) => {
    const own = lives.get(account) ?? [];
    const waitsS = own.map(({ waitMs }) => waitMs / 1_000);
    const width = (gpuS / widest) * PANEL.plot * 0.6;
    const text = `${percent(gpuS / total)} · ${own.length} jobs · p95 wait ${duration(percentile(waitsS, 0.95))}`;
    const y = index * step;
    return [
      label(PANEL.left - 8, y + step * 0.7, account.slice(-NAME_SHOWN), "end"),
      `<rect x="${PANEL.left}" y="${y.toFixed(1)}" width="${width.toFixed(1)}" height="${(step * 0.8).toFixed(1)}" fill="${TIER_COLOURS[tier] ?? "#888888"}"/>`,
      label(PANEL.left + width + 6, y + step * 0.7, text),
    ].join("");
  });
  const restS = rest.reduce((sum, [, { gpuS }]) => sum + gpuS, 0);
  const others = `${rest.length} other accounts: ${percent(restS / total)}`;
  return [
    label(PANEL.left, -6, "Share of charged GPU time, largest accounts"),
    ...bars,
    label(PANEL.left, HEIGHTS.share - step * 0.3, others),
  ].join("\n");
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}
