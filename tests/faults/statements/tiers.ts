/** As `control-plane/db/tiers.ts`. */
import type { Sql, Transaction } from "#control-plane/db/connect.ts";
import type { TierRow } from "#control-plane/db/tiers.ts";
import { statement } from "../postgres/client.ts";
import { tables } from "../postgres/here.ts";

export function allTiers(sql: Sql | Transaction): Promise<readonly TierRow[]> {
  return statement(sql, "allTiers", (on) => [...on.rows(tables().tier)]);
}

export function limitOverrides(sql: Sql | Transaction): Promise<ReadonlyMap<string, number>> {
  return statement(sql, "limitOverrides", () => new Map<string, number>());
}
