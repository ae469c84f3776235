/** As `control-plane/db/accounts.ts`. */
import type { Sql } from "#control-plane/db/connect.ts";
import type { AccountId } from "#protocol/id.ts";
import { statement } from "../postgres/client.ts";
import { tables } from "../postgres/here.ts";

export function standingsOf(
  sql: Sql,
  accounts: readonly AccountId[],
): Promise<readonly { readonly id: AccountId; readonly tier: string; readonly tag: bigint | null }[]> {
  if (accounts.length === 0) return Promise.resolve([]);
  return statement(sql, "standingsOf", (on) =>
    accounts.flatMap((id) => {
      const row = on.get(tables().account, id);
      return row === null ? [] : [{ id, tier: row.tier, tag: on.get(tables().fairTag, id) }];
    }),
  );
}
