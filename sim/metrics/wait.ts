/** Waits by tier, by class, by gang-only class, and by how much the account asks for. */
import type { LogConfig } from "../log-record.ts";
import type { JobLife } from "./job-lives.ts";
import { percentiles } from "./percentile.ts";
import type { Percentiles } from "./percentile.ts";

/** A light account submits at most this many jobs in the run, a heavy one at least that many. */
export const LIGHT_JOBS_MAX = 3;
export const HEAVY_JOBS_MIN = 50;

export interface Waits {
  readonly all: Percentiles;
  readonly tier: Readonly<Record<string, Percentiles>>;
  readonly class: Readonly<Record<string, Percentiles>>;
  readonly light: Percentiles;
  readonly heavy: Percentiles;
  /** Jobs that no gang of fewer than eight devices can run. */
  readonly gang8: Percentiles;
}

export function waits(lives: readonly JobLife[], { classes, runners }: LogConfig): Waits {
  const largestGb = Math.max(...runners.map((runner) => runner.vram_gb));
  const jobsOf = new Map<string, number>();
  for (const { account } of lives) jobsOf.set(account, (jobsOf.get(account) ?? 0) + 1);
  const narrowest = (id: string) =>
    Math.min(...(classes[id] ?? []).filter(({ vram_gb: gb }) => gb <= largestGb).map(({ k }) => k));
  const of = (chosen: readonly JobLife[]) => percentiles(chosen.map(({ waitMs }) => waitMs / 1_000));
  return {
    all: of(lives),
    tier: by(lives, ({ tier }) => tier, of),
    class: by(lives, (life) => life.class, of),
    light: of(lives.filter(({ account }) => (jobsOf.get(account) ?? 0) <= LIGHT_JOBS_MAX)),
    heavy: of(lives.filter(({ account }) => (jobsOf.get(account) ?? 0) >= HEAVY_JOBS_MIN)),
    gang8: of(lives.filter((life) => narrowest(life.class) >= 8)),
  };
}

function by(
  lives: readonly JobLife[],
  keyOf: (life: JobLife) => string,
  of: (chosen: readonly JobLife[]) => Percentiles,
): Readonly<Record<string, Percentiles>> {
  const groups = Map.groupBy(lives, keyOf);
  return Object.fromEntries([...groups].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([key, own]) => [key, of(own)]));
}
