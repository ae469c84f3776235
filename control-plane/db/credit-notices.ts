/** What the notices about credits are decided from, and that they were told. */
import type { AccountId } from "#protocol/id.ts";
import type { MilliCredits } from "#protocol/unit.ts";
import type { Sql, Transaction } from "./connect.ts";

const LOW_BALANCE = "low_balance";

export interface WatchWindow {
  readonly from: Date;
  readonly to: Date;
}

/**
 * The stretch of the journal to look at next, at most `stepMs` of it. It begins `overlapMs` before the end of the last one:
 * an entry bears the time at which it was written, and its transaction may commit a little later.
 */
export async function nextWindow(
  sql: Sql,
  { overlapMs, stepMs }: { readonly overlapMs: number; readonly stepMs: number },
): Promise<WatchWindow> {
  const [row] = await sql<WatchWindow[]>`
    select through - make_interval(secs => ${overlapMs / 1_000}) as "from",
      least(clock_timestamp(), through + make_interval(secs => ${stepMs / 1_000})) as "to"
    from (
      select coalesce((select through from credit_watch), clock_timestamp()) as through
    ) as watch`;
  if (row === undefined) throw new Error("there is always a window");
  return row;
}

/** Part of a transaction that has checked the epoch. */
export async function saveWatch(tx: Transaction, epoch: number, through: Date): Promise<void> {
  await tx`
    insert into credit_watch (singleton, epoch, through) values (true, ${epoch}, ${through})
    on conflict (singleton) do update set epoch = excluded.epoch, through = greatest(credit_watch.through, excluded.through)`;
}

export interface MovedBalance {
  readonly account: AccountId;
  readonly available: MilliCredits;
  readonly spent: boolean;
  readonly told: boolean;
}

/** Accounts whose free credits changed in the window, as they stand now. */
export async function movedBalances(sql: Sql, { from, to }: WatchWindow): Promise<readonly MovedBalance[]> {
  return sql<MovedBalance[]>`
    with moved as (
      select account_id, bool_or(from_book = 'available') as spent from credit_entry
      where at > ${from} and at <= ${to} and 'available' in (from_book, to_book)
      group by account_id
    )
    select moved.account_id as account, moved.spent,
      (
        select coalesce(sum(available), 0)::bigint from credit_grant g
        where g.account_id = moved.account_id and effective_at <= now() and (expires_at is null or expires_at > now())
      ) as available,
      exists (select 1 from credit_notice n where n.account_id = moved.account_id and subject = ${LOW_BALANCE}) as told
    from moved`;
}

export interface EndingGrant {
  readonly id: string;
  readonly account: AccountId;
  readonly available: MilliCredits;
  readonly expiresAt: Date;
}

/**
 * Untold grants with something to lose, whose end came within `leadMs` during the window, or was within it already when
 * they got credits during the window. Both sets are small, however many grants end soon.
 */
export async function endingGrants(
  sql: Sql,
  { from, to }: WatchWindow,
  leadMs: number,
): Promise<readonly EndingGrant[]> {
  const lead = sql`make_interval(secs => ${leadMs / 1_000})`;
  return sql<EndingGrant[]>`
    with candidate as (
      select id from credit_grant
      where expires_at > ${from}::timestamptz + ${lead} and expires_at <= ${to}::timestamptz + ${lead}
        and expired_at is null and voided_at is null
      union
      select grant_id from credit_entry where at > ${from} and at <= ${to} and to_book = 'available'
    )
    select g.id, g.account_id as account, g.available, g.expires_at
    from candidate join credit_grant g on g.id = candidate.id
    where g.expires_at > now() and g.expires_at <= ${to}::timestamptz + ${lead}
      and g.expired_at is null and g.voided_at is null and g.available > 0
      and not exists (select 1 from credit_notice n where n.account_id = g.account_id and n.subject = g.id)`;
}

/** False if it stands already. */
export async function noteTold(
  tx: Transaction,
  account: AccountId,
  subject: { readonly grant: string } | typeof LOW_BALANCE,
): Promise<boolean> {
  const rows = await tx`
    insert into credit_notice (account_id, subject, told_at)
    values (${account}, ${subject === LOW_BALANCE ? subject : subject.grant}, clock_timestamp())
    on conflict do nothing returning 1`;
  return rows.length === 1;
}

export async function forgetLowBalance(tx: Transaction, account: AccountId): Promise<void> {
  await tx`delete from credit_notice where account_id = ${account} and subject = ${LOW_BALANCE}`;
}
