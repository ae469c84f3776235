/** The fair order's memory over leaders. */
import type { FairClock, TierClock } from "#control-plane/core/scheduler/event.ts";
import type { Sql, Transaction } from "./connect.ts";

/** Part of the dispatch's transaction: what was charged is stored with what was charged for. */
export async function saveClock(tx: Transaction, clock: FairClock): Promise<void> {
  await tx`
    insert into fair_tag (account_id, tag)
    select * from unnest(
      ${tx.array(clock.accounts.map(({ account }) => account))}::text[],
      ${tx.array(clock.accounts.map(({ tag }) => String(tag)))}::bigint[]
    )
    on conflict (account_id) do update set tag = excluded.tag`;
  await tx`
    insert into tier_clock (tier, tag, virtual)
    select * from unnest(
      ${tx.array(clock.tiers.map(({ tier }) => tier))}::text[],
      ${tx.array(clock.tiers.map(({ tag }) => String(tag)))}::bigint[],
      ${tx.array(clock.tiers.map(({ virtual }) => String(virtual)))}::bigint[]
    )
    on conflict (tier) do update set tag = excluded.tag, virtual = excluded.virtual`;
}

export async function tierClocks(sql: Sql): Promise<readonly TierClock[]> {
  const rows = await sql<
    { tier: string; tag: bigint; virtual: bigint }[]
  >`select tier, tag, virtual from tier_clock order by tier`;
  return rows.map(({ tier, tag, virtual }) => ({ tier, tag: Number(tag), virtual: Number(virtual) }));
}
