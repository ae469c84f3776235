/** As `control-plane/db/fair-clock.ts`. */
import type { FairClock, TierClock } from "#control-plane/core/scheduler/event.ts";
import type { Sql, Transaction } from "#control-plane/db/connect.ts";
import { statement } from "../postgres/client.ts";
import { tables } from "../postgres/here.ts";

export async function saveClock(tx: Transaction, clock: FairClock): Promise<void> {
  await statement(tx, "saveTags", (on) => {
    for (const { account, tag } of clock.accounts) on.put(tables().fairTag, account, BigInt(tag));
  });
  await statement(tx, "saveTierClocks", (on) => {
    for (const tier of clock.tiers) on.put(tables().tierClock, tier.tier, tier);
  });
}

export function tierClocks(sql: Sql): Promise<readonly TierClock[]> {
  return statement(sql, "tierClocks", (on) =>
    [...on.rows(tables().tierClock)].sort((a, b) => (a.tier < b.tier ? -1 : 1)),
  );
}
