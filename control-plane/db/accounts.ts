/** Accounts and API keys. */
import type { AccountId, Sha256Hex } from "#protocol/id.ts";
import type { TierLimits } from "#protocol/edge-call.ts";
import type { AccountEntry } from "./admin.ts";
import type { Sql, Transaction } from "./connect.ts";

/** Changes what is named; null if there is no such account. */
export async function updateAccount(
  tx: Transaction,
  id: AccountId,
  change: { readonly name?: string | undefined; readonly tier?: string | undefined },
): Promise<AccountEntry | null> {
  const [row] = await tx<AccountEntry[]>`
    update account set name = coalesce(${change.name ?? null}, name), tier = coalesce(${change.tier ?? null}, tier)
    where id = ${id} returning *`;
  return row ?? null;
}

/** Tier and fair tag (null: never dispatched) of accounts. */
export async function standingsOf(
  sql: Sql,
  accounts: readonly AccountId[],
): Promise<readonly { readonly id: AccountId; readonly tier: string; readonly tag: bigint | null }[]> {
  if (accounts.length === 0) return [];
  return sql`
    select a.id, a.tier, f.tag from account a left join fair_tag f on f.account_id = a.id
    where a.id = any (${sql.array([...accounts])}::text[])`;
}

export interface KeyRow {
  readonly id: string;
  readonly limits: TierLimits;
}

/** How exactly it is known when a key was used last: so often at most its row is written. */
const USED_EVERY = "1 minute";

/** Notes that the key was used. */
export async function liveKey(sql: Sql, account: AccountId, keySha256: Sha256Hex): Promise<KeyRow | null> {
  const [row] = await sql<{ id: string; tier: string; createsPerMinute: number; createsBurst: number }[]>`
    with found as (
      select k.id, k.last_used_at, t.name as tier, t.creates_per_minute, t.creates_burst
      from api_key k
      join account a on a.id = k.account_id
      join tier t on t.name = a.tier
      where k.key_sha256 = ${keySha256} and k.account_id = ${account} and k.revoked_at is null
    ),
    used as (
      update api_key set last_used_at = now() from found
      where api_key.id = found.id and (found.last_used_at is null or found.last_used_at < now() - ${USED_EVERY}::interval)
    )
    select id, tier, creates_per_minute, creates_burst from found`;
  if (row === undefined) return null;
  return {
    id: row.id,
    limits: { tier: row.tier, creates_per_minute: row.createsPerMinute, creates_burst: row.createsBurst },
  };
}
