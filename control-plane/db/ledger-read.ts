/** What the ledger says, for people: balances, grants, the journal a page at a time, what a video cost. Reads only. */
import type { GrantCategory } from "#control-plane/core/credit/grant.ts";
import type { Book, EntryKind } from "#control-plane/core/ledger.ts";
import type { AccountId, VideoId } from "#protocol/id.ts";
import { milliCredits } from "#protocol/unit.ts";
import type { MilliCredits } from "#protocol/unit.ts";
import type { Sql, Transaction } from "./connect.ts";

/** Rows of the journal read at once by an export. */
const EXPORT_BATCH = 1_000;
/** Grants that a balance lists, those that could still be spent or are held first. */
const BALANCE_GRANTS_MAX = 1_000;

export type GrantStatus = "pending" | "active" | "depleted" | "expired" | "voided";

export interface GrantRow {
  readonly id: string;
  readonly accountId: AccountId;
  readonly amount: MilliCredits;
  /** What could be held or will be, once it starts; 0 from the moment it ends, whether that was posted or not. */
  readonly available: MilliCredits;
  readonly held: MilliCredits;
  readonly consumed: MilliCredits;
  readonly expired: MilliCredits;
  readonly voided: MilliCredits;
  readonly category: GrantCategory;
  readonly priority: number;
  readonly effectiveAt: Date;
  readonly expiresAt: Date | null;
  readonly voidedAt: Date | null;
  readonly createdAt: Date;
  readonly status: GrantStatus;
}

export interface Balance {
  readonly account: AccountId;
  /** What could be held now: started, not ended, not held. */
  readonly available: MilliCredits;
  /** Of grants that have not started. */
  readonly pending: MilliCredits;
  readonly held: MilliCredits;
  readonly consumed: MilliCredits;
  readonly expired: MilliCredits;
  readonly voided: MilliCredits;
  readonly at: Date;
  /** In burn order; the depleted and ended last, and at most so many. */
  readonly grants: readonly GrantRow[];
}

/** `after`: the last id of the page before. */
export interface Page {
  readonly limit: number;
  readonly after?: string | undefined;
  readonly order?: "asc" | "desc" | undefined;
}

export interface JournalRow {
  readonly id: bigint;
  readonly accountId: AccountId;
  readonly kind: EntryKind;
  readonly grantId: string;
  readonly jobId: VideoId | null;
  /** Of the operator's act, if it was one. */
  readonly actId: bigint | null;
  readonly reason: string | null;
  readonly fromBook: Book;
  readonly toBook: Book;
  readonly amount: MilliCredits;
  /** What it did to the available credits: plus, minus, or nothing. */
  readonly effect: MilliCredits;
  readonly availableAfter: MilliCredits;
  readonly at: Date;
}

export interface HoldUsage {
  readonly job: VideoId;
  /** The price, fixed at admission. */
  readonly reserved: MilliCredits;
  readonly held: MilliCredits;
  readonly charged: MilliCredits;
  readonly released: MilliCredits;
  readonly refunded: MilliCredits;
  /** As pinned, in burn order. */
  readonly lots: readonly {
    readonly grantId: string;
    readonly amount: MilliCredits;
    readonly captured: MilliCredits;
  }[];
}

/** Grants with their credits as they are at this moment: what has ended counts as expired though nobody posted it yet. */
function grantsNow(sql: Sql | Transaction, account: AccountId) {
  return sql`
    select id, account_id, amount, held, consumed, voided, category, priority, effective_at, expires_at, voided_at, created_at,
      case when expires_at <= now() then 0 else available end as available,
      case when expires_at <= now() then expired + available else expired end as expired,
      case
        when voided_at is not null then 'voided'
        when expires_at <= now() then 'expired'
        when effective_at > now() then 'pending'
        when available + held = 0 then 'depleted'
        else 'active'
      end as status
    from credit_grant where account_id = ${account}`;
}

export async function balanceOf(sql: Sql | Transaction, account: AccountId): Promise<Balance> {
  const [sums] = await sql<Omit<Balance, "account" | "grants">[]>`
    select now() as at,
      coalesce(sum(available) filter (where status <> 'pending'), 0)::bigint as available,
      coalesce(sum(available) filter (where status = 'pending'), 0)::bigint as pending,
      coalesce(sum(held), 0)::bigint as held, coalesce(sum(consumed), 0)::bigint as consumed,
      coalesce(sum(expired), 0)::bigint as expired, coalesce(sum(voided), 0)::bigint as voided
    from (${grantsNow(sql, account)}) as credit_grant`;
  if (sums === undefined) throw new Error("an aggregate has a row");
  const grants = await sql<GrantRow[]>`
    select * from (${grantsNow(sql, account)}) as credit_grant
    order by status not in ('active', 'pending'), priority, coalesce(expires_at, 'infinity'), category, effective_at, id
    limit ${BALANCE_GRANTS_MAX}`;
  return { account, ...sums, grants };
}

/** One more than asked for is read, so the caller knows whether there is more. By creation; newest first unless said. */
export async function grantsOf(sql: Sql | Transaction, account: AccountId, page: Page): Promise<readonly GrantRow[]> {
  const ascending = page.order === "asc";
  return sql<GrantRow[]>`
    select * from (${grantsNow(sql, account)}) as credit_grant
    ${
      page.after === undefined
        ? sql``
        : sql`where (created_at, id) ${ascending ? sql`>` : sql`<`}
            (select created_at, id from credit_grant where id = ${page.after} and account_id = ${account})`
    }
    order by ${ascending ? sql`created_at, id` : sql`created_at desc, id desc`}
    limit ${page.limit + 1}`;
}

export async function findGrant(sql: Sql | Transaction, id: string): Promise<{ readonly accountId: AccountId } | null> {
  const [row] = await sql<{ accountId: AccountId }[]>`select account_id from credit_grant where id = ${id}`;
  return row ?? null;
}

function journal(sql: Sql | Transaction) {
  return sql`
    select e.id, e.account_id, e.kind, e.grant_id, e.job_id, e.act_id, a.request ->> 'reason' as reason, e.from_book, e.to_book,
      e.amount, e.available_after, e.at,
      e.amount * case when e.to_book = 'available' then 1 when e.from_book = 'available' then -1 else 0 end as effect
    from credit_entry e left join credit_act a on a.id = e.act_id`;
}

/** Entries of the journal, newest first unless said; one more than asked for is read. */
export async function transactionsOf(
  sql: Sql | Transaction,
  account: AccountId,
  page: Page,
): Promise<readonly JournalRow[]> {
  const ascending = page.order === "asc";
  return sql<JournalRow[]>`
    ${journal(sql)}
    where e.account_id = ${account}
    ${page.after === undefined ? sql`` : sql`and e.id ${ascending ? sql`>` : sql`<`} ${page.after}`}
    order by e.id ${ascending ? sql`` : sql`desc`}
    limit ${page.limit + 1}`;
}

/** Every entry with `from <= at < to`, oldest first, in batches. What is written meanwhile may or may not be in it. */
export async function* exportJournal(sql: Sql, from: Date, to: Date): AsyncGenerator<readonly JournalRow[]> {
  let last: { readonly at: Date; readonly id: bigint } = { at: from, id: -1n };
  for (;;) {
    const rows = await sql<JournalRow[]>`
      ${journal(sql)}
      where (e.at, e.id) > (${last.at}, ${last.id}) and e.at < ${to}
      order by e.at, e.id limit ${EXPORT_BATCH}`;
    if (rows.length > 0) yield rows;
    const end = rows.at(-1);
    if (rows.length < EXPORT_BATCH || end === undefined) return;
    last = end;
  }
}

/** Columns of a `credit_hold h`, for `holdUsage`. */
export function holdColumns(sql: Sql | Transaction) {
  return sql`
    h.job_id, h.amount as reserved, h.amount - h.captured - h.released as held, h.captured as charged, h.released, h.refunded,
    (
      select coalesce(json_agg(json_build_object(
        'grant', grant_id, 'amount', amount::text, 'captured', captured::text) order by rank), '[]')
      from credit_hold_lot lot where lot.job_id = h.job_id
    ) as lots`;
}

export interface HoldColumns extends Omit<HoldUsage, "job" | "lots"> {
  readonly jobId: VideoId;
  readonly lots: readonly Readonly<Record<string, string>>[];
}

export function holdUsage({ jobId, reserved, held, charged, released, refunded, lots }: HoldColumns): HoldUsage {
  return { job: jobId, reserved, held, charged, released, refunded, lots: lots.map(lotOf) };
}

/** What videos reserved, and where it went; a job that is not there has none. */
export async function holdUsageOf(
  tx: Sql | Transaction,
  jobs: readonly VideoId[],
): Promise<ReadonlyMap<VideoId, HoldUsage>> {
  if (jobs.length === 0) return new Map();
  const rows = await tx<HoldColumns[]>`
    select ${holdColumns(tx)} from credit_hold h where h.job_id = any (${tx.array([...jobs])}::text[])`;
  return new Map(rows.map((row) => [row.jobId, holdUsage(row)]));
}

/** JSON has no whole numbers of this size: amounts travel as text. */
function lotOf(lot: Readonly<Record<string, string>>) {
  const { grant = "", amount = "0", captured = "0" } = lot;
  return { grantId: grant, amount: milliCredits(BigInt(amount)), captured: milliCredits(BigInt(captured)) };
}
