/** What the admin creates: accounts and keys. */
import { and, eq, isNull, sql } from "./drizzle.ts";
import type { AccountId, Sha256Hex } from "#protocol/id.ts";
import type { Database } from "./connect.ts";
import { account, apiKey } from "./schema/account.ts";

type Orm = Database["orm"];
export type AccountEntry = typeof account.$inferSelect;
export type KeyEntry = typeof apiKey.$inferSelect;

export async function insertAccount(
  orm: Orm,
  entry: { readonly id: AccountId; readonly name: string; readonly tier: string },
): Promise<AccountEntry> {
  return only(await orm.insert(account).values(entry).returning());
}

export async function findAccount(orm: Orm, id: AccountId): Promise<AccountEntry | null> {
  return (await orm.select().from(account).where(eq(account.id, id)))[0] ?? null;
}

export async function insertKey(
  orm: Orm,
  entry: { readonly accountId: AccountId; readonly keySha256: Sha256Hex; readonly last4: string },
): Promise<KeyEntry> {
  return only(
    await orm
      .insert(apiKey)
      .values({ id: sql`'key_' || replace(uuidv7()::text, '-', '')`, ...entry })
      .returning(),
  );
}

/** The key that was live until now; null if there was none of this id. */
export async function revokeKey(orm: Orm, id: string): Promise<KeyEntry | null> {
  const rows = await orm
    .update(apiKey)
    .set({ revokedAt: sql`now()` })
    .where(and(eq(apiKey.id, id), isNull(apiKey.revokedAt)))
    .returning();
  return rows[0] ?? null;
}

function only<Row>(rows: readonly Row[]): Row {
  const [row] = rows;
  if (row === undefined) throw new Error("an insert returns its row");
  return row;
}
