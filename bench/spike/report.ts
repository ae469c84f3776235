/** What a spike came to: latencies by answer, and what the tables say of those who were told that their video is made. */
import type { Told } from "./plan.ts";
import type { Parts, Site } from "./site.ts";

export function outcomesOf(told: Told) {
  const { latencies, accepted, ...rest } = told;
  const sorted = Object.entries(latencies).map(([name, all]) => [name, all.toSorted((a, b) => a - b)] as const);
  const figures = (all: readonly number[]) => ({
    count: all.length,
    p50: quantile(all, 0.5),
    p99: quantile(all, 0.99),
    max: quantile(all, 1),
  });
  const refused = sorted.filter(([name]) => /^[45]/.test(name)).flatMap(([, all]) => [...all]);
  return {
    ...rest,
    accepted: accepted.length,
    rejects_ms: figures(refused.toSorted((a, b) => a - b)),
    answers_ms: Object.fromEntries(sorted.map(([name, all]) => [name, figures(all)])),
  };
}

export async function tables(site: Site, told: Told) {
  const { sql } = site.product;
  const rows = await sql<{ op: string; ids: string[] }[]>`
    select metadata->>'op' as op, array_agg(id) as ids from job where metadata->>'op' like 'op-%' group by 1`;
  const ids = new Map(rows.map((row) => [row.op, row.ids]));
  const [attempts] = await sql`select count(*) filter (where outcome = 'lost')::int as lost from attempt`;
  return {
    jobs: rows.reduce((sum, row) => sum + row.ids.length, 0),
    acknowledged_and_missing: told.accepted.filter(([op, id]) => ids.get(op)?.includes(id) !== true).length,
    intents_with_two_jobs: rows.filter((row) => row.ids.length > 1).length,
    attempts_lost: Number(attempts?.["lost"]),
  };
}

export function coresOf(before: Parts, after: Parts, overS: number): Record<string, number> {
  const names = Object.keys(before) as (keyof Parts)[];
  return Object.fromEntries(names.map((name) => [name, share(after[name].cpuS - before[name].cpuS, overS)]));
}

export function share(part: number, whole: number): number {
  return Math.round((part / whole) * 1_000) / 1_000;
}

export function quantile(sorted: readonly number[], at: number): number {
  return Math.round((sorted[Math.min(sorted.length - 1, Math.ceil(at * sorted.length) - 1)] ?? Number.NaN) * 10) / 10;
}
