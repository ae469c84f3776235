/** Accounts and API keys. */
import type { AccountId, Sha256Hex } from "#protocol/id.ts";
import type { TierLimits } from "#protocol/edge-call.ts";
import type { AccountEntry } from "./admin.ts";
import type { Sql, Transaction } from "./connect.ts";
import type { TierRow } from "./tiers.ts";

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
  const [row] = await sql<(TierRow & { readonly id: string })[]>`
    with found as (
      select k.id, k.last_used_at, a.tier
      from api_key k join account a on a.id = k.account_id
      where k.key_sha256 = ${keySha256} and k.account_id = ${account} and k.revoked_at is null
    ),
    used as (
      update api_key set last_used_at = now() from found
      where api_key.id = found.id and (found.last_used_at is null or found.last_used_at < now() - ${USED_EVERY}::interval)
    )
    select found.id, t.* from found join tier t on t.name = found.tier`;
  if (row === undefined) return null;
  return {
    id: row.id,
    limits: {
      tier: row.name,
      creates_per_minute: row.createsPerMinute,
      creates_burst: row.createsBurst,
      reads_per_minute: row.readsPerMinute,
      reads_burst: row.readsBurst,
      max_running: row.maxRunning,
    },
  };
}

/** An account's tier, and how many of its videos run and wait; null if there is no such account. */
export async function accountUse(
  sql: Sql,
  account: AccountId,
): Promise<{ readonly tier: TierRow; readonly running: number; readonly waiting: number } | null> {
  const [row] = await sql<(TierRow & { readonly running: number; readonly waiting: number })[]>`
    select t.*,
      (select count(*)::int from job where account_id = a.id and runner_id is not null) as running,
      (select count(*)::int from job
        where account_id = a.id and state in ('queued', 'preempted', 'retrying')) as waiting
    from account a join tier t on t.name = a.tier
    where a.id = ${account}`;
  return row === undefined ? null : { tier: row, running: row.running, waiting: row.waiting };
}
