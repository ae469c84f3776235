/** What the admin creates: accounts and keys. */
import type { AccountId, Sha256Hex } from "#protocol/id.ts";
import type { Sql, Transaction } from "./connect.ts";
import type { account, apiKey } from "./schema/account.ts";

export type AccountEntry = typeof account.$inferSelect;
export type KeyEntry = typeof apiKey.$inferSelect;

export async function insertAccount(
  tx: Transaction,
  entry: { readonly id: AccountId; readonly name: string; readonly tier: string },
): Promise<AccountEntry> {
  return only(
    await tx<AccountEntry[]>`
      insert into account (id, name, tier) values (${entry.id}, ${entry.name}, ${entry.tier}) returning *`,
  );
}

export async function findAccount(sql: Sql | Transaction, id: AccountId): Promise<AccountEntry | null> {
  const [row] = await sql<AccountEntry[]>`select * from account where id = ${id}`;
  return row ?? null;
}

export async function insertKey(
  tx: Transaction,
  entry: { readonly accountId: AccountId; readonly keySha256: Sha256Hex; readonly last4: string },
): Promise<KeyEntry> {
  return only(
    await tx<KeyEntry[]>`
      insert into api_key (id, account_id, key_sha256, last4)
      values ('key_' || replace(uuidv7()::text, '-', ''), ${entry.accountId}, ${entry.keySha256}, ${entry.last4})
      returning *`,
  );
}

/** Newest first, revoked ones too. */
export async function keysOfAccount(sql: Sql, id: AccountId, limit: number): Promise<readonly KeyEntry[]> {
  return sql<
    KeyEntry[]
  >`select * from api_key where account_id = ${id} order by created_at desc, id desc limit ${limit}`;
}

/** The key that was live until now; null if there was none of this id. */
export async function revokeKey(tx: Transaction, id: string): Promise<KeyEntry | null> {
  const [row] = await tx<KeyEntry[]>`
    update api_key set revoked_at = now() where id = ${id} and revoked_at is null returning *`;
  return row ?? null;
}

function only<Row>(rows: readonly Row[]): Row {
  const [row] = rows;
  if (row === undefined) throw new Error("an insert returns its row");
  return row;
}
