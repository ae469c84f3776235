/** The statements of a submit, run under the account's lock (`lockAccount`). */
import type { Terms } from "#control-plane/core/admission.ts";
import type { JobRecord } from "#control-plane/core/job.ts";
import type { AccountId, CreateKey, RequestId, Sha256Hex } from "#protocol/id.ts";
import type { Sql, Transaction } from "./connect.ts";

export async function jobOfCreateKey(tx: Transaction, account: AccountId, key: CreateKey): Promise<JobRecord | null> {
  const [row] = await tx<JobRecord[]>`select * from job where account_id = ${account} and create_key = ${key}`;
  return row ?? null;
}

/** False if this very call was seen before: a replay. */
export async function claimNonce(tx: Transaction, requestId: RequestId): Promise<boolean> {
  const rows = await tx`insert into nonce (request_id) values (${requestId}) on conflict do nothing returning 1`;
  return rows.length === 1;
}

export async function countWaiting(tx: Sql | Transaction, account: AccountId): Promise<number> {
  const [row] = await tx<{ count: number }[]>`
    select count(*)::int as count from job
    where account_id = ${account} and state in ('queued', 'preempted', 'retrying')`;
  return row?.count ?? 0;
}

/** What the account could hold now. */
export async function spendable(tx: Sql | Transaction, account: AccountId): Promise<bigint> {
  const [row] = await tx<{ available: bigint }[]>`
    select coalesce(sum(available), 0)::bigint as available from credit_grant
    where account_id = ${account} and effective_at <= clock_timestamp()
      and (expires_at is null or expires_at > clock_timestamp())`;
  return row?.available ?? 0n;
}

export interface NewJob {
  readonly account: AccountId;
  readonly createKey: CreateKey;
  readonly tier: string;
  readonly prompt: string;
  readonly negativePrompt: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly reference: { readonly sha256: Sha256Hex; readonly mediaType: string } | null;
  readonly deadlineMs: number;
  readonly terms: Terms;
}

/** The inserted job, or how much the account could have spent. */
export type InsertedJob =
  | { readonly ok: true; readonly job: JobRecord }
  | { readonly ok: false; readonly available: bigint };

/**
 * Hold, lots, journal, job and inbox in one statement: either all of them exist or none.
 *
 * Lots are taken in burn order (priority, expiry, promotional < plan < paid, effective, id; as `deduct` in
 * `core/ledger.ts`). The account's lock keeps two submits apart; the grant's CHECK would refuse an overdraft even without it.
 */
export async function insertJob(tx: Transaction, input: NewJob): Promise<InsertedJob> {
  const { terms } = input;
  const rows = await tx<(Partial<JobRecord> & { readonly available: bigint })[]>`
    with clock as materialized (select date_trunc('milliseconds', clock_timestamp()) as at),
    mine as materialized (select * from credit_grant where account_id = ${input.account}),
    spendable as (
      select id, available as free,
        row_number() over burn as rank,
        sum(available) over (burn rows unbounded preceding) as through
      from mine, clock
      where available > 0 and effective_at <= at and (expires_at is null or expires_at > at)
      window burn as (order by priority, coalesce(expires_at, 'infinity'), category, effective_at, id)
    ),
    purse as (select coalesce(max(through), 0)::bigint as available from spendable),
    lot as (
      select id, rank, least(free, ${terms.price}::bigint - (through - free))::bigint as take
      from spendable, purse
      where through - free < ${terms.price}::bigint and purse.available >= ${terms.price}::bigint
    ),
    pinned as (
      update credit_grant set held = held + lot.take from lot where credit_grant.id = lot.id
    ),
    new_job as (
      insert into job (
        id, account_id, create_key, tier, model, class, prompt, negative_prompt, size, fps, seconds, steps, seed,
        metadata, reference_sha256, reference_media_type, price, gpu_ms, created_at, deadline_at
      )
      select 'video_' || replace(uuidv7()::text, '-', ''), ${input.account}, ${input.createKey}, ${input.tier},
        ${terms.model}, ${terms.class}, ${input.prompt}, ${input.negativePrompt}, ${terms.size}, ${terms.fps},
        ${terms.seconds}, ${terms.steps}, ${terms.seed}, ${tx.json(input.metadata)},
        ${input.reference?.sha256 ?? null}, ${input.reference?.mediaType ?? null},
        ${terms.price}, ${terms.gpuMs}, clock.at, clock.at + make_interval(secs => ${input.deadlineMs / 1_000})
      from purse, clock where purse.available >= ${terms.price}::bigint
      returning *
    ),
    hold as (
      insert into credit_hold (job_id, account_id, amount, created_at) select id, account_id, price, created_at from new_job
    ),
    hold_lot as (
      insert into credit_hold_lot (job_id, grant_id, rank, amount)
      select new_job.id, lot.id, lot.rank, lot.take from new_job, lot
    ),
    entry as (
      insert into credit_entry (account_id, grant_id, job_id, kind, from_book, to_book, amount, available_after, at)
      select new_job.account_id, lot.id, new_job.id, 'held', 'available', 'held', lot.take,
        (select sum(available) from mine) - sum(lot.take) over (order by lot.rank), new_job.created_at
      from new_job, lot order by lot.rank
    ),
    mail as (insert into inbox (job_id) select id from new_job)
    select purse.available, new_job.* from purse left join new_job on true`;
  const [row] = rows;
  if (row === undefined) throw new Error("the submit statement always answers with one row");
  const { available, ...job } = row;
  return isJob(job) ? { ok: true, job } : { ok: false, available };
}

function isJob(row: Partial<JobRecord>): row is JobRecord {
  return row.id !== undefined && row.id !== null;
}

export async function forgetNonces(sql: Sql, olderThanMs: number): Promise<void> {
  await sql`delete from nonce where seen_at < now() - make_interval(secs => ${olderThanMs / 1_000})`;
}
