/**
 * Leases: the statements by which a job gets, keeps and loses its runner. The epoch is the fencing token; a statement
 * that names an old one changes nothing. Lease times are the database's clock, never a replica's.
 */
import type { AttemptOutcome, Deadline } from "#control-plane/core/job.ts";
import type { StageTime } from "#control-plane/core/scheduler/stage-clock.ts";
import type { DeviceId, RunnerId, Sha256Hex, VideoId } from "#protocol/id.ts";
import type { LeaseRef } from "#protocol/runner.ts";
import type { JobRow } from "./jobs.ts";
import type { Sql, Transaction } from "./connect.ts";

export interface Dispatch {
  readonly job: VideoId;
  readonly runner: RunnerId;
  readonly devices: readonly DeviceId[];
  /** Its slot of the one device; null takes the devices whole, with all of their `slots`. */
  readonly slot: number | null;
  readonly slots: number;
}

/**
 * Why a job was not started: it does not wait any more, or may not start now: its devices are held or drained, or the start
 * that it asked for is past, and the sweep will fail it.
 */
export type NotStarted = "moved" | "held";

/** Moves a waiting job onto a runner under the next epoch, and claims its devices. */
export async function markStarting(tx: Transaction, dispatch: Dispatch, leaseMs: number): Promise<JobRow | NotStarted> {
  const { slot, slots } = dispatch;
  const devices = tx.array([...dispatch.devices]);
  const [row] = await tx<JobRow[]>`
    with claim as (
      select device, slot
      from unnest(${devices}::text[]) as device, generate_series(${slot ?? 0}::int, ${slot ?? slots - 1}::int) as slot
    ),
    started as (
      update job set
        state = 'starting', epoch = epoch + 1, attempts = attempts + 1, runner_id = ${dispatch.runner},
        devices = ${devices}, slot = ${slot}, not_before = null,
        progress_estimated = exists (
          select 1 from runner where id = ${dispatch.runner} and not (caps ->> 'step_progress')::boolean
        ),
        started_at = coalesce(started_at, now()),
        lease_expires_at = now() + make_interval(secs => ${leaseMs / 1_000})
      where id = ${dispatch.job} and state in ('queued', 'preempted', 'retrying') and deleted_at is null
        and (started_at is not null or start_deadline_at is null or start_deadline_at > now())
        and not exists (select 1 from runner where id = ${dispatch.runner} and drained)
        and not exists (select 1 from device_claim join claim using (device, slot) where runner_id = ${dispatch.runner})
      returning *
    ),
    claimed as (
      insert into device_claim (runner_id, device, slot, job_id)
      select started.runner_id, claim.device, claim.slot, started.id from started, claim
    )
    select * from started`;
  return row ?? ((await isWaiting(tx, dispatch.job)) ? "held" : "moved");
}

async function isWaiting(tx: Transaction, job: VideoId): Promise<boolean> {
  const rows = await tx`
    select 1 from job where id = ${job} and state in ('queued', 'preempted', 'retrying') and deleted_at is null`;
  return rows.length === 1;
}

/** Remembers whose pace it will run at: the runner as it described itself last. */
export async function openAttempt(tx: Transaction, job: JobRow, fromStep: number): Promise<void> {
  await tx`
    insert into attempt (job_id, epoch, runner_id, from_step, build, gpu, k)
    select ${job.id}, ${job.epoch}::int, ${job.runnerId}, ${fromStep}::int, coalesce(r.build, ''),
      coalesce(r.devices -> 0 ->> 'gpu', 'none'), ${job.devices?.length ?? 1}::int
    from (values (${job.runnerId}::text)) as lease (runner_id) left join runner r on r.id = lease.runner_id`;
}

/** With the times of the stages that it went through whole; one statement, because every end of a job pays for it. */
export async function closeAttempt(
  tx: Transaction,
  lease: LeaseRef,
  outcome: AttemptOutcome,
  stages: readonly StageTime[],
): Promise<void> {
  await tx`
    with closed as (
      update attempt set ended_at = now(), outcome = ${outcome}
      where job_id = ${lease.job} and epoch = ${lease.epoch} and ended_at is null
      returning job_id, epoch
    )
    insert into attempt_stage (job_id, epoch, stage, predicted_ms, actual_ms)
    select closed.job_id, closed.epoch, time.stage::cost_stage, time.predicted_ms, time.actual_ms
    from closed, unnest(
      ${tx.array(stages.map(({ stage }) => stage))}::text[],
      ${tx.array(stages.map(({ predictedMs }) => predictedMs))}::int[],
      ${tx.array(stages.map(({ actualMs }) => actualMs))}::int[]
    ) as time (stage, predicted_ms, actual_ms)`;
}

/** Extends the leases that are still this runner's; the answer lists them, all others are stale. */
export async function renewLeases(
  sql: Sql,
  runner: RunnerId,
  leases: readonly LeaseRef[],
  leaseMs: number,
): Promise<readonly LeaseRef[]> {
  if (leases.length === 0) return [];
  return sql<{ job: VideoId; epoch: number }[]>`
    update job set lease_expires_at = now() + make_interval(secs => ${leaseMs / 1_000})
    from unnest(${sql.array(leases.map((lease) => lease.job))}::text[], ${sql.array(leases.map((lease) => lease.epoch))}::int[])
      as held (job, epoch)
    where job.id = held.job and job.epoch = held.epoch and job.runner_id = ${runner}
      and job.state in ('starting', 'running', 'uploading', 'cancelling')
    returning job.id as job, job.epoch`;
}

export interface ProgressReport {
  readonly lease: LeaseRef;
  readonly progress: number;
  readonly uploading: boolean;
}

/**
 * Stores what runners reported since the last flush; progress never falls. The answer lists the leases that were still
 * current, with the progress that now stands.
 */
export async function saveProgress(sql: Sql, reports: readonly ProgressReport[]): Promise<readonly JobRow[]> {
  if (reports.length === 0) return [];
  return sql<JobRow[]>`
    update job set
      progress = greatest(job.progress, least(report.progress, 99)),
      state = case
        when job.state in ('starting', 'running') and report.uploading then 'uploading'::job_state
        when job.state = 'starting' then 'running'::job_state
        else job.state end
    from unnest(
      ${sql.array(reports.map((report) => report.lease.job))}::text[],
      ${sql.array(reports.map((report) => report.lease.epoch))}::int[],
      ${sql.array(reports.map((report) => report.progress))}::int[],
      ${sql.array(reports.map((report) => report.uploading))}::bool[]
    ) as report (id, epoch, progress, uploading)
    where job.id = report.id and job.epoch = report.epoch
      and job.state in ('starting', 'running', 'uploading', 'cancelling')
    returning job.*`;
}

export interface NewCheckpoint {
  readonly lease: LeaseRef;
  readonly step: number;
  readonly storeKey: string;
  readonly sha256: Sha256Hex;
  readonly bytes: number;
  readonly exactness: "exact" | "numerical";
}

/** Records a checkpoint of the current lease and the steps it keeps; false if the lease is over. */
export async function insertCheckpoint(tx: Transaction, checkpoint: NewCheckpoint): Promise<boolean> {
  const rows = await tx`
    with fenced as (
      update job set steps_done = greatest(steps_done, least(${checkpoint.step}::int, coalesce(stop_after, steps)))
      where id = ${checkpoint.lease.job} and epoch = ${checkpoint.lease.epoch}
        and state in ('starting', 'running', 'uploading', 'cancelling')
      returning id, epoch
    ),
    written as (
      insert into checkpoint (job_id, epoch, step, store_key, sha256, bytes, exactness)
      select id, epoch, ${checkpoint.step}::int, ${checkpoint.storeKey}, ${checkpoint.sha256}, ${checkpoint.bytes}::bigint,
        ${checkpoint.exactness}::checkpoint_exactness
      from fenced
      on conflict do nothing
    )
    select 1 from fenced`;
  return rows.length === 1;
}

export interface StoredCheckpoint {
  readonly step: number;
  readonly storeKey: string;
  readonly sha256: Sha256Hex;
  readonly bytes: bigint;
  /** The job whose attempt wrote it. */
  readonly writtenFor: VideoId;
}

/** Newest first by progress: the one to resume from, then those to fall back to. */
export async function checkpointsOf(sql: Sql | Transaction, job: VideoId): Promise<readonly StoredCheckpoint[]> {
  return sql<StoredCheckpoint[]>`
    select step, store_key, sha256, bytes, coalesce(written_for, job_id) as written_for from checkpoint
    where job_id = ${job} and not unusable order by step desc, epoch desc`;
}

/** The checkpoint that the last attempt started from is of no use: the steps it kept are lost. */
export async function discardNewestCheckpoint(tx: Transaction, job: VideoId): Promise<void> {
  await tx`
    update checkpoint set unusable = true
    where (job_id, epoch, step) = (
      select job_id, epoch, step from checkpoint
      where job_id = ${job} and not unusable order by step desc, epoch desc limit 1
    )`;
  await tx`
    update job set steps_done = coalesce((select max(step) from checkpoint where job_id = ${job} and not unusable), 0)
    where id = ${job}`;
}

/** Newest checkpoints kept of a job that is not over: the one to resume from, and one to fall back to. */
const CHECKPOINTS_KEPT = 2;

export interface DoneCheckpoint {
  readonly jobId: VideoId;
  readonly epoch: number;
  readonly step: number;
  readonly storeKey: string;
}

/** Checkpoints nobody will resume from: of jobs that are over (and no drafts that can be promoted), unusable ones, superseded ones. */
export async function doneCheckpoints(sql: Sql, limit: number): Promise<readonly DoneCheckpoint[]> {
  return sql<DoneCheckpoint[]>`
    select job_id, epoch, step, store_key
    from (
      select c.*, j.finished_at, j.deleted_at is null and j.promotable_until > now() as promotable,
        row_number() over (partition by c.job_id order by c.unusable, c.step desc, c.epoch desc) as age
      from checkpoint c join job j on j.id = c.job_id
    ) as ranked
    where unusable or age > ${CHECKPOINTS_KEPT} or (finished_at is not null and (age > 1 or promotable is not true))
    limit ${limit}`;
}

/** Another job goes on, or may go on, from the same file. */
export async function isCheckpointShared(sql: Sql, { jobId, storeKey }: DoneCheckpoint): Promise<boolean> {
  const rows = await sql`select 1 from checkpoint where store_key = ${storeKey} and job_id <> ${jobId} limit 1`;
  return rows.length === 1;
}

export async function forgetCheckpoint(sql: Sql, checkpoint: DoneCheckpoint): Promise<void> {
  await sql`
    delete from checkpoint
    where job_id = ${checkpoint.jobId} and epoch = ${checkpoint.epoch} and step = ${checkpoint.step}`;
}

export interface EndingLease extends LeaseRef {
  readonly runner: RunnerId;
  /** Until it is over for `graceMs`; not above zero if it is. */
  readonly leftMs: number;
}

/** Leases whose runner fell silent: over for `graceMs`, or to be so within `withinMs`. */
export async function endingLeases(
  sql: Sql,
  { graceMs, withinMs, limit }: { readonly graceMs: number; readonly withinMs: number; readonly limit: number },
): Promise<readonly EndingLease[]> {
  return sql<EndingLease[]>`
    select id as job, epoch, runner_id as runner,
      (extract(epoch from lease_expires_at - now()) * 1000 + ${graceMs}::float8)::float8 as left_ms
    from job
    where lease_expires_at <= now() + make_interval(secs => ${(withinMs - graceMs) / 1_000})
    order by lease_expires_at limit ${limit}`;
}

/** A job is to be started within this many times what its tier was promised at most when it was admitted. */
const START_BOUNDS_MAX = 2;

export interface PastDeadline {
  readonly job: VideoId;
  readonly which: Deadline;
}

export async function jobsPastDeadline(sql: Sql, limit: number): Promise<readonly PastDeadline[]> {
  return sql<PastDeadline[]>`
    select id as job, 'total' as which from job where finished_at is null and deadline_at < now()
    union all
    select id, 'asked_start' from job
    where finished_at is null and started_at is null and start_deadline_at < now() and deadline_at >= now()
    union all
    select job.id, 'start' from job join tier on tier.name = job.tier
    where job.finished_at is null and job.started_at is null and job.deadline_at >= now()
      and (job.start_deadline_at is null or job.start_deadline_at >= now())
      and job.created_at < now() - ${START_BOUNDS_MAX} * make_interval(secs => tier.start_bound_s)
    limit ${limit}`;
}

export interface HeldLease {
  readonly job: VideoId;
  readonly epoch: number;
  readonly state: JobRow["state"];
}

export async function leasesOfRunner(sql: Sql, runner: RunnerId): Promise<readonly HeldLease[]> {
  return sql<HeldLease[]>`
    select id as job, epoch, state from job where finished_at is null and runner_id = ${runner}`;
}
