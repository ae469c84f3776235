/** What the leader expects of jobs that come now; written by it alone, read by every replica. */
import type { Outlook } from "#control-plane/core/scheduler/quotes.ts";
import type { Sql, Transaction } from "./connect.ts";

/** Replaces the rows of all tiers and classes; part of a transaction that has checked the epoch. */
export async function saveOutlooks(tx: Transaction, epoch: number, outlooks: readonly Outlook[]): Promise<void> {
  const whole = (value: number | undefined) => (value === undefined ? null : String(Math.round(value)));
  await tx`
    insert into admission_summary (tier, class, queued, backlog_ms, start_p50_ms, start_p90_ms, epoch, at)
    select *, ${epoch}::int, clock_timestamp() from unnest(
      ${tx.array(outlooks.map(({ tier }) => tier))}::text[],
      ${tx.array(outlooks.map((outlook) => outlook.class))}::text[],
      ${tx.array(outlooks.map(({ queued }) => queued))}::int[],
      ${tx.array(outlooks.map(({ backlogMs }) => String(Math.round(backlogMs))))}::bigint[],
      ${tx.array(outlooks.map(({ start }) => whole(start?.p50Ms)))}::bigint[],
      ${tx.array(outlooks.map(({ start }) => whole(start?.p90Ms)))}::bigint[]
    )
    on conflict (tier, class) do update set
      queued = excluded.queued, backlog_ms = excluded.backlog_ms, start_p50_ms = excluded.start_p50_ms,
      start_p90_ms = excluded.start_p90_ms, epoch = excluded.epoch, at = excluded.at`;
}

export interface SummaryRow {
  readonly tier: string;
  readonly class: string;
  readonly queued: number;
  readonly backlogMs: bigint;
  /** Null if no runner could ever run the class. */
  readonly startP50Ms: bigint | null;
  readonly startP90Ms: bigint | null;
  readonly ageMs: number;
}

/** Rows of at most that age, by the database's clock. */
export async function freshOutlooks(sql: Sql, ageMaxMs: number): Promise<readonly SummaryRow[]> {
  return sql<SummaryRow[]>`
    select tier, class, queued, backlog_ms, start_p50_ms, start_p90_ms, (extract(epoch from clock_timestamp() - at) * 1000)::int as age_ms
    from admission_summary where at > clock_timestamp() - make_interval(secs => ${ageMaxMs / 1_000})`;
}
