/**
 * Writes to the ledger. Everything here runs under the account's lock (`lockLedger`), which is what makes `at` and the
 * journal's ids rise together within an account.
 *
 * Order of locks, everywhere: leader → job → account → grants → event counter; one account a transaction. A grant's row is
 * only ever written under its account's lock, so nobody waits for one, and two accounts share no row.
 */
import type { ActKind, GrantRecord, MakeGood, PinnedLot, Posting, Settlement } from "#control-plane/core/ledger.ts";
import type { GrantCategory } from "#control-plane/core/credit/grant.ts";
import type { AccountId, VideoId } from "#protocol/id.ts";
import type { MilliCredits } from "#protocol/unit.ts";
import type { Sql, Transaction } from "./connect.ts";
import type { JournalRow } from "./ledger-read.ts";

/** Locks the account until commit and answers with the server's time, read once the lock was got; null: no such account. */
export async function lockLedger(tx: Transaction, account: AccountId): Promise<Date | null> {
  const [row] = await tx<{ at: Date }[]>`
    select date_trunc('milliseconds', clock_timestamp()) as at
    from (select 1 from account where id = ${account} for no key update) as locked`;
  return row?.at ?? null;
}

/** What a set of postings belongs to. */
export interface Occasion {
  readonly account: AccountId;
  readonly at: Date;
  readonly job?: VideoId;
  readonly act?: bigint;
  /** A grant that ends here: nothing of it stays free. */
  readonly ends?: { readonly grant: string; readonly how: "expired" | "voided" };
}

/** Writes postings to the journal and moves the grants' columns with them. Grants that it funds exist already. */
export async function post(tx: Transaction, occasion: Occasion, postings: readonly Posting[]): Promise<void> {
  const { account, at, job = null, act = null, ends = null } = occasion;
  await tx`
    with posting as (
      select * from unnest(
        ${tx.array(postings.map(({ kind }) => kind))}::credit_entry_kind[],
        ${tx.array(postings.map(({ grantId }) => grantId))}::text[],
        ${tx.array(postings.map(({ from }) => from))}::credit_book[],
        ${tx.array(postings.map(({ to }) => to))}::credit_book[],
        ${tx.array(postings.map(({ amount }) => String(amount)))}::bigint[]
      ) with ordinality as p (kind, grant_id, from_book, to_book, amount, n)
    ),
    before as (
      -- A grant that is funded here is in its table already, with all it has.
      select (
        (select coalesce(sum(available), 0) from credit_grant where account_id = ${account})
        - (select coalesce(sum(amount), 0) from posting where from_book = 'issued')
      )::bigint as available
    ),
    change as (
      select grant_id,
        sum(amount * case when to_book = 'held' then 1 when from_book = 'held' then -1 else 0 end) as held,
        sum(amount * case when to_book = 'consumed' then 1 when from_book = 'consumed' then -1 else 0 end) as consumed,
        sum(amount * case when to_book = 'expired' then 1 else 0 end) as expired,
        sum(amount * case when to_book = 'voided' then 1 else 0 end) as voided
      from (
        select grant_id, from_book, to_book, amount from posting
        union all
        select ${ends?.grant ?? null}::text, null, null, 0 where ${ends !== null}::boolean
      ) as part
      group by grant_id
    ),
    moved as (
      update credit_grant g set
        held = g.held + change.held, consumed = g.consumed + change.consumed,
        expired = g.expired + change.expired, voided = g.voided + change.voided,
        expired_at = case when ${ends?.how === "expired"}::boolean and g.id = ${ends?.grant ?? null}::text then ${at}::timestamptz else g.expired_at end,
        voided_at = case when ${ends?.how === "voided"}::boolean and g.id = ${ends?.grant ?? null}::text then ${at}::timestamptz else g.voided_at end
      from change where g.id = change.grant_id and g.account_id = ${account}
    )
    insert into credit_entry (account_id, grant_id, job_id, act_id, kind, from_book, to_book, amount, available_after, at)
    select ${account}::text, grant_id, ${job}::text, ${act}::bigint, kind, from_book, to_book, amount,
      before.available + sum(amount * case when to_book = 'available' then 1 when from_book = 'available' then -1 else 0 end) over (order by n),
      ${at}::timestamptz
    from posting, before order by n`;
}

/** The open hold's lots in burn order, with their grants; empty if the hold is settled already. */
export async function openLots(tx: Transaction, job: VideoId): Promise<readonly PinnedLot[]> {
  const rows = await tx<(GrantRecord & { readonly lotAmount: MilliCredits })[]>`
    select g.*, lot.amount as lot_amount
    from credit_hold hold
    join credit_hold_lot lot on lot.job_id = hold.job_id
    join credit_grant g on g.id = lot.grant_id
    where hold.job_id = ${job} and hold.state = 'open'
    order by lot.rank`;
  return rows.map(({ lotAmount, ...grant }) => ({ grant, amount: lotAmount }));
}

/** Runs once a job: `state = 'open'` is the guard, and the CHECKs are the second line. */
export async function closeHold(
  tx: Transaction,
  { job, at }: { readonly job: VideoId; readonly at: Date },
  lots: readonly PinnedLot[],
  settlement: Settlement,
): Promise<void> {
  const charge = settlement.captured.reduce((sum, part) => sum + part, 0n);
  await tx`
    with settled as (
      update credit_hold set state = 'settled', captured = ${charge}, released = amount - ${charge}, settled_at = ${at}
      where job_id = ${job} and state = 'open'
      returning job_id
    )
    update credit_hold_lot lot set captured = part.captured
    from settled, unnest(
      ${tx.array(lots.map(({ grant }) => grant.id))}::text[],
      ${tx.array(settlement.captured.map(String))}::bigint[]
    ) as part (grant_id, captured)
    where lot.job_id = settled.job_id and lot.grant_id = part.grant_id`;
}

export interface NewGrant {
  /** Null: a fresh one. */
  readonly id: string | null;
  readonly account: AccountId;
  readonly amount: MilliCredits;
  readonly category: GrantCategory;
  readonly priority: number;
  readonly effectiveAt: Date;
  readonly expiresAt: Date | null;
  readonly at: Date;
}

export async function insertGrant(tx: Transaction, grant: NewGrant): Promise<string> {
  const [row] = await tx<{ id: string }[]>`
    insert into credit_grant (id, account_id, amount, category, priority, effective_at, expires_at, created_at)
    values (
      coalesce(${grant.id}, 'grant_' || replace(uuidv7()::text, '-', '')), ${grant.account}, ${grant.amount},
      ${grant.category}, ${grant.priority}, ${grant.effectiveAt}, ${grant.expiresAt}, ${grant.at}
    )
    returning id`;
  if (row === undefined) throw new Error("an insert returns its row");
  return row.id;
}

/** At most one a job: its id is the job's. */
export async function insertMakeGood(tx: Transaction, account: AccountId, grant: MakeGood): Promise<void> {
  await insertGrant(tx, { ...grant, account, at: grant.effectiveAt });
}

/** The account's grants that still have something free. */
export async function freeGrants(tx: Transaction, account: AccountId): Promise<readonly GrantRecord[]> {
  return tx<GrantRecord[]>`select * from credit_grant where account_id = ${account} and available > 0`;
}

export async function grantRecord(tx: Transaction, account: AccountId, id: string): Promise<GrantRecord | null> {
  const [row] = await tx<GrantRecord[]>`select * from credit_grant where id = ${id} and account_id = ${account}`;
  return row ?? null;
}

/** Accounts that have grants whose end was not posted yet, the longest overdue first. */
export async function accountsToExpire(sql: Sql, limit: number): Promise<readonly AccountId[]> {
  const rows = await sql<{ accountId: AccountId }[]>`
    select account_id from credit_grant
    where expires_at <= now() and expired_at is null and voided_at is null
    group by account_id order by min(expires_at) limit ${limit}`;
  return rows.map(({ accountId }) => accountId);
}

export async function grantsToExpire(
  tx: Transaction,
  account: AccountId,
  at: Date,
  limit: number,
): Promise<readonly GrantRecord[]> {
  return tx<GrantRecord[]>`
    select * from credit_grant
    where account_id = ${account} and expires_at <= ${at} and expired_at is null and voided_at is null
    order by expires_at, id limit ${limit}`;
}

/** What a settled hold captured of each grant and has not given back. */
export async function capturedLots(tx: Transaction, job: VideoId): Promise<readonly PinnedLot[]> {
  const rows = await tx<(GrantRecord & { readonly lotAmount: MilliCredits })[]>`
    select g.*, lot.captured - lot.refunded as lot_amount
    from credit_hold_lot lot join credit_grant g on g.id = lot.grant_id
    where lot.job_id = ${job} and lot.captured > lot.refunded
    order by lot.rank`;
  return rows.map(({ lotAmount, ...grant }) => ({ grant, amount: lotAmount }));
}

/** Notes that all the job's captures were given back. */
export async function markRefunded(tx: Transaction, job: VideoId): Promise<void> {
  await tx`update credit_hold set refunded = captured where job_id = ${job}`;
  await tx`update credit_hold_lot set refunded = captured where job_id = ${job}`;
}

export interface NewAct {
  readonly account: AccountId;
  readonly kind: ActKind;
  /** Null: not to be repeated. */
  readonly idempotencyKey: string | null;
  readonly request: Readonly<Record<string, string | number | null>>;
}

/** The act that was done under this key before, and whether it asked for the same. */
export async function actOfKey(
  tx: Transaction,
  act: NewAct,
): Promise<{ readonly id: bigint; readonly at: Date; readonly same: boolean } | null> {
  if (act.idempotencyKey === null) return null;
  const [row] = await tx<{ id: bigint; at: Date; same: boolean }[]>`
    select id, at, kind = ${act.kind}::credit_act_kind and request = ${tx.json(act.request)} as same
    from credit_act where account_id = ${act.account} and idempotency_key = ${act.idempotencyKey}`;
  return row ?? null;
}

export async function insertAct(tx: Transaction, act: NewAct, at: Date): Promise<bigint> {
  const [row] = await tx<{ id: bigint }[]>`
    insert into credit_act (account_id, kind, idempotency_key, request, at)
    values (${act.account}, ${act.kind}, ${act.idempotencyKey}, ${tx.json(act.request)}, ${at})
    returning id`;
  if (row === undefined) throw new Error("an insert returns its row");
  return row.id;
}

/** What an act posted; its answer is made from this, so a repeated act is answered as the first time. */
export async function entriesOfAct(
  tx: Transaction,
  act: bigint,
): Promise<readonly Pick<JournalRow, "grantId" | "kind" | "amount" | "fromBook" | "toBook">[]> {
  return tx`select grant_id, kind, amount, from_book, to_book from credit_entry where act_id = ${act} order by id`;
}
