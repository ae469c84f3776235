/** Reads of jobs and the guarded update behind every transition. Each `where` names the expected state and epoch. */
import type { JobChange, JobRecord } from "#control-plane/core/job.ts";
import type { AccountId, VideoId } from "#protocol/id.ts";
import { invariant } from "#protocol/invariant.ts";
import type { ListQuery } from "#protocol/video.ts";
import type { Sql, Transaction } from "./connect.ts";
import { holdColumns, holdUsage } from "./ledger-read.ts";
import type { HoldColumns, HoldUsage } from "./ledger-read.ts";
import type { job } from "./schema/job.ts";

/** The table and `core/job.ts` describe the same thing: a drifting column fails to compile here. */
export type JobRow = typeof job.$inferSelect extends JobRecord ? JobRecord : never;

/** A job beside what it reserved, and where that went. */
export interface JobWithUsage {
  readonly job: JobRow;
  readonly usage: HoldUsage;
}

export async function lockJob(tx: Transaction, id: VideoId): Promise<JobRow | null> {
  const [row] = await tx<JobRow[]>`select * from job where id = ${id} for update`;
  return row ?? null;
}

/** Another account's id, an unknown one and a deleted one are the same: null. */
export async function findVideo(sql: Sql | Transaction, account: AccountId, id: VideoId): Promise<JobWithUsage | null> {
  const rows = await sql<(JobRow & HoldColumns)[]>`
    select j.*, ${holdColumns(sql)}
    from job j join credit_hold h on h.job_id = j.id
    where j.id = ${id} and j.account_id = ${account} and j.deleted_at is null`;
  return rows.map(split)[0] ?? null;
}

/** One more than asked for is read, so the caller knows whether there is more. `after` may be deleted meanwhile. */
export async function listVideos(sql: Sql, account: AccountId, query: ListQuery): Promise<readonly JobWithUsage[]> {
  const descending = query.order === "desc";
  const rows = await sql<(JobRow & HoldColumns)[]>`
    select j.*, ${holdColumns(sql)}
    from job j join credit_hold h on h.job_id = j.id
    where j.account_id = ${account} and j.deleted_at is null
    ${
      query.after === undefined
        ? sql``
        : sql`and (j.created_at, j.id) ${descending ? sql`<` : sql`>`}
            (select created_at, id from job where id = ${query.after} and account_id = ${account})`
    }
    order by ${descending ? sql`j.created_at desc, j.id desc` : sql`j.created_at, j.id`}
    limit ${query.limit + 1}`;
  return rows.map(split);
}

/** The oldest of the account's videos that are not over. */
export async function unfinishedVideos(sql: Sql, account: AccountId, limit: number): Promise<readonly JobRow[]> {
  return sql<JobRow[]>`
    select * from job
    where account_id = ${account} and finished_at is null and deleted_at is null
    order by created_at, id limit ${limit}`;
}

/** Those of the ids that are the account's, in the order of creation. */
export async function videosByIds(sql: Sql, account: AccountId, ids: readonly VideoId[]): Promise<readonly JobRow[]> {
  if (ids.length === 0) return [];
  return sql<JobRow[]>`
    select * from job
    where id in ${sql(ids)} and account_id = ${account} and deleted_at is null
    order by created_at, id`;
}

function split(row: JobRow & HoldColumns): JobWithUsage {
  return { job: row, usage: holdUsage(row) };
}

/** Applies what `core/job.ts` decided, and gives its devices back if it leaves them; null if the job moved on meanwhile. */
export async function saveChange(tx: Transaction, before: JobRow, change: JobChange): Promise<JobRow | null> {
  const rows = await tx<JobRow[]>`
    with moved as (
      update job set ${tx(columnsOf(change))},
        not_before = ${notBeforeIn(tx, change)}, moderate_at = ${moderateAtIn(tx, change)}, finished_at = ${isOver(change) ? tx`now()` : null},
        expires_at = ${change.to === "completed" ? keptBy(tx, before, "keep_video_hours") : null},
        promotable_until = ${change.to === "completed" && before.stopAfter !== null ? keptBy(tx, before, "keep_draft_hours") : null}
      where id = ${before.id} and state = ${before.state} and epoch = ${before.epoch}
      returning *
    ),
    freed as (
      delete from device_claim using moved where device_claim.job_id = moved.id and moved.runner_id is null
    )
    select * from moved`;
  return rows[0] ?? null;
}

const OFF_RUNNER = { runner_id: null, devices: null, slot: null, lease_expires_at: null } as const;

function columnsOf(change: JobChange) {
  switch (change.to) {
    case "completed":
      return { state: change.to, ...OFF_RUNNER, ...resultColumns(change), progress: 100, result_policy: change.policy };
    case "moderating":
      return { state: change.to, ...OFF_RUNNER, ...resultColumns(change), steps_done: change.stepsDone };
    case "asked_in_vain":
      return { moderation_tries: change.tries };
    case "failed":
    case "cancelled":
      return {
        state: change.to,
        ...OFF_RUNNER,
        steps_done: change.stepsDone,
        error_code: change.failure.code,
        error_message: change.failure.message,
        error_fault: change.failure.fault,
        result_policy: change.policy,
      };
    case "preempted":
    case "retrying":
      return {
        state: change.to,
        ...OFF_RUNNER,
        runner_deaths: change.runnerDeaths,
        engine_failures: change.engineFailures,
        run_alone: change.runAlone,
        preemptions: change.preemptions,
        avoid_runner_id: change.avoidRunner,
      };
    case "cancelling":
      return { state: change.to };
    default:
      return change satisfies never;
  }
}

function resultColumns({ artifact, artifactKey }: Extract<JobChange, { artifactKey: string }>) {
  return {
    artifact_key: artifactKey,
    artifact_sha256: artifact.sha256,
    artifact_bytes: artifact.bytes,
    latents_sha256: artifact.latents_sha256,
    frames_sha256: artifact.frames_sha256,
  };
}

/** As long as its account's tier keeps finished videos, or drafts, now. */
function keptBy(tx: Transaction, { accountId }: JobRow, hours: "keep_video_hours" | "keep_draft_hours") {
  return tx`(
    select now() + make_interval(hours => tier.${tx(hours)})
    from account join tier on tier.name = account.tier where account.id = ${accountId})`;
}

function moderateAtIn(tx: Transaction, change: JobChange) {
  if (change.to === "moderating") return tx`now()`;
  return change.to === "asked_in_vain" ? tx`now() + make_interval(secs => ${change.askAgainMs / 1_000})` : null;
}

function notBeforeIn(tx: Transaction, change: JobChange) {
  return "delayMs" in change ? tx`now() + make_interval(secs => ${change.delayMs / 1_000})` : null;
}

function isOver({ to }: JobChange): boolean {
  return to === "completed" || to === "failed" || to === "cancelled";
}

/** Rendered, judged by nobody yet, and due. */
export async function resultsToModerate(sql: Sql, limit: number): Promise<readonly JobRow[]> {
  return sql<JobRow[]>`select * from job where moderate_at <= now() order by moderate_at limit ${limit}`;
}

export interface StoredResult {
  readonly id: VideoId;
  readonly artifactKey: string;
}

/** Of videos that ended without being shown: nobody may ever read these. */
export async function withheldResults(sql: Sql, limit: number): Promise<readonly StoredResult[]> {
  return sql<StoredResult[]>`
    select id, artifact_key from job where artifact_key is not null and error_code is not null limit ${limit}`;
}

export async function forgetResult(sql: Sql, { id, artifactKey }: StoredResult): Promise<void> {
  await sql`
    update job set artifact_key = null, artifact_sha256 = null, artifact_bytes = null, latents_sha256 = null, frames_sha256 = null
    where id = ${id} and artifact_key = ${artifactKey} and error_code is not null`;
}

/** Of videos that were deleted, or whose time is over. */
export async function goneResults(sql: Sql, limit: number): Promise<readonly StoredResult[]> {
  return sql<StoredResult[]>`
    select id, artifact_key from job
    where artifact_key is not null and artifact_removed_at is null and error_code is null and expires_at < now()
    union
    select id, artifact_key from job
    where artifact_key is not null and artifact_removed_at is null and error_code is null and deleted_at is not null
    limit ${limit}`;
}

export async function markResultRemoved(sql: Sql, { id, artifactKey }: StoredResult): Promise<void> {
  await sql`update job set artifact_removed_at = now() where id = ${id} and artifact_key = ${artifactKey}`;
}

/** A completed draft whose checkpoint is still kept. */
export async function isPromotable(sql: Sql, id: VideoId): Promise<boolean> {
  const rows = await sql`select 1 from job where id = ${id} and promotable_until > now() and deleted_at is null`;
  return rows.length === 1;
}

/** Whose video it is, deleted or not. */
export async function findVideoOwner(sql: Sql, id: VideoId): Promise<AccountId | null> {
  const [row] = await sql<{ accountId: AccountId }[]>`select account_id from job where id = ${id}`;
  return row?.accountId ?? null;
}

/** Everything that is neither over nor deleted from the scheduler's point of view, for a takeover. */
export async function unfinishedJobs(sql: Sql): Promise<readonly JobRow[]> {
  return sql<JobRow[]>`select * from job where finished_at is null order by created_at, id`;
}

export async function jobsByIds(sql: Sql, ids: readonly VideoId[]): Promise<readonly JobRow[]> {
  return ids.length === 0 ? [] : sql<JobRow[]>`select * from job where id in ${sql(ids)}`;
}

export interface Mail {
  /** The database's clock. */
  readonly atMs: number;
  /** What to hand to the next `readInbox` once it is handled. */
  readonly ids: readonly bigint[];
  readonly jobs: readonly VideoId[];
  /** The operator changed tiers, accounts, classes, limits or a runner's drain. */
  readonly termsChanged: boolean;
}

/**
 * The leader's mail: ids of jobs whose state may have changed, and whether the operator changed anything. It stays until the
 * call after it was handled, so it is read at least once whatever breaks in between; and an old leader removes nothing that
 * its successor has not seen.
 */
export async function readInbox(sql: Sql, epoch: number, handled: readonly bigint[], limit: number): Promise<Mail> {
  const ids = sql.array(handled.map(String));
  const forgetting =
    handled.length === 0
      ? sql``
      : sql`
        leads as (select 1 from leader where epoch = ${epoch} and expires_at > clock_timestamp() for share),
        done as (delete from inbox where id = any (${ids}::bigint[]) and exists (select 1 from leads)),`;
  const [row] = await sql<{ at: Date; ids: bigint[]; jobs: VideoId[]; termsChanged: boolean }[]>`
    with ${forgetting}
    mail as (select id, job_id from inbox where id <> all (${ids}::bigint[]) order by id limit ${limit})
    select clock_timestamp() as at,
      array(select id from mail) as ids,
      array(select distinct job_id from mail where job_id is not null) as jobs,
      exists (select 1 from mail where job_id is null) as terms_changed`;
  invariant(row !== undefined, "a select without a table has one row");
  return { atMs: row.at.getTime(), ids: row.ids, jobs: row.jobs, termsChanged: row.termsChanged };
}

export async function postInbox(tx: Transaction, id: VideoId): Promise<void> {
  await tx`insert into inbox (job_id) values (${id})`;
}

/** A hint: the leader would see the change by itself, but later. */
export async function postTermsChanged(tx: Transaction): Promise<void> {
  await tx`insert into inbox (job_id) values (null)`;
}

/** Soft, so that list cursors that point at it still work. */
export async function markDeleted(tx: Transaction, account: AccountId, id: VideoId): Promise<void> {
  await tx`update job set deleted_at = now() where id = ${id} and account_id = ${account} and deleted_at is null`;
}
