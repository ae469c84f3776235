/** Tiers and the scheduler's thresholds: terms that the operator changes while everything runs. */
import type { Sql, Transaction } from "./connect.ts";
import type { tier } from "./schema/account.ts";

export type TierRow = typeof tier.$inferSelect;

export async function allTiers(sql: Sql | Transaction): Promise<readonly TierRow[]> {
  return sql<TierRow[]>`select * from tier order by name`;
}

export async function upsertTier(tx: Transaction, row: TierRow): Promise<void> {
  await tx`
    insert into tier (name, weight, share_min, share_max, max_running, tier_max_running, max_queued,
      creates_per_minute, creates_burst, reads_per_minute, reads_burst, start_bound_s, keep_video_hours,
      keep_draft_hours)
    values (${row.name}, ${row.weight}, ${row.shareMin}, ${row.shareMax}, ${row.maxRunning}, ${row.tierMaxRunning},
      ${row.maxQueued}, ${row.createsPerMinute}, ${row.createsBurst}, ${row.readsPerMinute}, ${row.readsBurst},
      ${row.startBoundS}, ${row.keepVideoHours}, ${row.keepDraftHours})
    on conflict (name) do update set weight = excluded.weight, share_min = excluded.share_min,
      share_max = excluded.share_max, max_running = excluded.max_running, tier_max_running = excluded.tier_max_running,
      max_queued = excluded.max_queued, creates_per_minute = excluded.creates_per_minute,
      creates_burst = excluded.creates_burst, reads_per_minute = excluded.reads_per_minute,
      reads_burst = excluded.reads_burst, start_bound_s = excluded.start_bound_s,
      keep_video_hours = excluded.keep_video_hours, keep_draft_hours = excluded.keep_draft_hours`;
}

/** Overrides of the scheduler's thresholds, by name. */
export async function limitOverrides(sql: Sql | Transaction): Promise<ReadonlyMap<string, number>> {
  const rows = await sql<{ name: string; value: number }[]>`select name, value from scheduler_limit`;
  return new Map(rows.map(({ name, value }) => [name, value]));
}

/** Null takes an override back. */
export async function saveLimits(tx: Transaction, changes: ReadonlyMap<string, number | null>): Promise<void> {
  for (const [name, value] of changes) {
    await (value === null
      ? tx`delete from scheduler_limit where name = ${name}`
      : tx`
        insert into scheduler_limit (name, value) values (${name}, ${value})
        on conflict (name) do update set value = excluded.value`);
  }
}
