/** The accounts that got most: their part of all charged GPU time, and how long their jobs waited. */
import { isAttemptEnd } from "./log-record.ts";
import type { RunLog } from "./log-record.ts";
import type { JobLife } from "./metrics/job-lives.ts";
import { percentile } from "./metrics/percentile.ts";
import { duration, heading, HEIGHTS, INK, label, PANEL, short, tierColour } from "./svg-style.ts";

const ACCOUNTS_SHOWN = 8;
/** Characters of an account's name; its end says more than its beginning. */
const NAME_SHOWN = 12;
/** Where the columns end, beside the bars. */
const COLUMNS = { share: PANEL.left + 640, jobs: PANEL.left + 730, wait: PANEL.left + PANEL.plot } as const;
const BAR_WIDTH = 560;

export function sharePanel({ records }: RunLog, lives: readonly JobLife[]): string {
  const got = new Map<string, { readonly tier: string; gpuS: number }>();
  for (const record of records) {
    if (!isAttemptEnd(record)) continue;
    got.getOrInsertComputed(record.account, () => ({ tier: record.tier, gpuS: 0 })).gpuS += record.gpu_seconds;
  }
  const total = Math.max(
    1,
    [...got.values()].reduce((sum, { gpuS }) => sum + gpuS, 0),
  );
  const livesOf = Map.groupBy(lives, ({ account }) => account);
  const ordered = [...got].toSorted(([a, x], [b, y]) => y.gpuS - x.gpuS || (a < b ? -1 : 1));
  const [shown, rest] = [ordered.slice(0, ACCOUNTS_SHOWN), ordered.slice(ACCOUNTS_SHOWN)];
  const widest = Math.max(...shown.map(([, { gpuS }]) => gpuS), 1);
  const step = HEIGHTS.share / (ACCOUNTS_SHOWN + 1);
  const line = (index: number, name: string, gpuS: number, own: readonly JobLife[]) => {
    const y = index * step + step * 0.7;
    const waitsS = own.map(({ waitMs }) => waitMs / 1_000);
    return [
      label(PANEL.left - 8, y, name, "end"),
      label(COLUMNS.share, y, `${((gpuS / total) * 100).toFixed(1)} %`, "end"),
      label(COLUMNS.jobs, y, String(own.length), "end"),
      label(COLUMNS.wait, y, duration(percentile(waitsS, 0.95)), "end"),
    ].join("");
  };
  const bars = shown.map(([account, { tier, gpuS }], index) => {
    const shape = `x="${PANEL.left}" y="${short(index * step)}" width="${short((gpuS / widest) * BAR_WIDTH)}" height="${short(step * 0.8)}"`;
    return `<rect ${shape} fill="${tierColour(tier)}"/>${line(index, account.slice(-NAME_SHOWN), gpuS, livesOf.get(account) ?? [])}`;
  });
  const restS = rest.reduce((sum, [, { gpuS }]) => sum + gpuS, 0);
  const restLives = rest.flatMap(([account]) => livesOf.get(account) ?? []);
  return [
    heading("The accounts that used most GPU time"),
    label(COLUMNS.share, -8, "share", "end"),
    label(COLUMNS.jobs, -8, "jobs", "end"),
    label(COLUMNS.wait, -8, "p95 wait", "end"),
    `<path d="M${PANEL.left} -3h${PANEL.plot}" stroke="${INK.grid}"/>`,
    ...bars,
    ...(rest.length === 0 ? [] : [line(shown.length, `${rest.length} others`, restS, restLives)]),
  ].join("\n");
}
