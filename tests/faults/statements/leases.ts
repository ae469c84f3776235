/** As `control-plane/db/leases.ts`: each function is the statement of the same name there, guard by guard. */
import { lastStepOf } from "#control-plane/core/job.ts";
import type { AttemptOutcome } from "#control-plane/core/job.ts";
import type { StageTime } from "#control-plane/core/scheduler/stage-clock.ts";
import type { Dispatch, HeldLease, NewCheckpoint, NotStarted, ProgressReport } from "#control-plane/db/leases.ts";
import type { DoneCheckpoint, EndingLease, PastDeadline, StoredCheckpoint } from "#control-plane/db/leases.ts";
import type { JobRow } from "#control-plane/db/jobs.ts";
import type { Sql, Transaction } from "#control-plane/db/connect.ts";
import type { RunnerId, VideoId } from "#protocol/id.ts";
import type { LeaseRef } from "#protocol/runner.ts";
import { statement } from "../postgres/client.ts";
import { tables } from "../postgres/here.ts";
import type { CheckpointRow } from "../postgres/tables.ts";
import type { Tx } from "../postgres/tx.ts";

const WAITING: ReadonlySet<string> = new Set(["queued", "preempted", "retrying"]);
const LEASED: ReadonlySet<string> = new Set(["starting", "running", "uploading", "cancelling"]);
const CHECKPOINTS_KEPT = 2;
const START_BOUNDS_MAX = 2;

export function markStarting(tx: Transaction, dispatch: Dispatch, leaseMs: number): Promise<JobRow | NotStarted> {
  return statement(tx, "markStarting", (on): JobRow | NotStarted => {
    const { job, runner, claim } = tables();
    const { slot, slots } = dispatch;
    on.lock(job, dispatch.job);
    const row = on.get(job, dispatch.job);
    if (row === null || !WAITING.has(row.state) || row.deletedAt !== null) return "moved";
    if (isTooLate(row, on)) return "held";
    if (on.get(runner, dispatch.runner)?.drained === true) return "held";
    const wanted = dispatch.devices.flatMap((device) =>
      Array.from({ length: slot === null ? slots : 1 }, (_, at) => ({ device, slot: slot ?? at })),
    );
    const keyOf = (part: (typeof wanted)[number]) => `${dispatch.runner}/${part.device}/${part.slot}`;
    if (wanted.some((part) => on.get(claim, keyOf(part)) !== null)) return "held";
    const started: JobRow = {
      ...row,
      state: "starting",
      epoch: row.epoch + 1,
      attempts: row.attempts + 1,
      runnerId: dispatch.runner,
      devices: [...dispatch.devices],
      slot,
      notBefore: null,
      startedAt: row.startedAt ?? on.now,
      leaseExpiresAt: new Date(on.now.getTime() + leaseMs),
    };
    on.put(job, row.id, started);
    for (const part of wanted) {
      on.insert(claim, keyOf(part), { runnerId: dispatch.runner, device: part.device, slot: part.slot, jobId: row.id });
    }
    on.accepted.push({ what: "placement", job: row.id, epoch: started.epoch });
    return started;
  });
}

/** Past the start that its create asked for. */
function isTooLate(row: JobRow, on: Tx): boolean {
  return row.startedAt === null && row.startDeadlineAt !== null && row.startDeadlineAt <= on.now;
}

export function openAttempt(tx: Transaction, job: JobRow, fromStep: number): Promise<void> {
  return statement(tx, "openAttempt", (on) => {
    const { attempt, openAttempt: open, runner } = tables();
    const described = on.get(runner, job.runnerId ?? "");
    on.insert(open, job.id, job.epoch);
    on.insert(attempt, `${job.id}/${job.epoch}`, {
      jobId: job.id,
      epoch: job.epoch,
      runnerId: job.runnerId as RunnerId,
      fromStep,
      build: described?.build ?? "",
      gpu: described?.devices[0]?.gpu ?? "none",
      k: job.devices?.length ?? 1,
      startedAt: on.now,
      endedAt: null,
      outcome: null,
      stages: [],
    });
  });
}

export function closeAttempt(
  tx: Transaction,
  lease: LeaseRef,
  outcome: AttemptOutcome,
  stages: readonly StageTime[],
): Promise<void> {
  return statement(tx, "closeAttempt", (on) => {
    const { attempt, openAttempt: open } = tables();
    const key = `${lease.job}/${lease.epoch}`;
    const row = on.get(attempt, key);
    if (row === null || row.endedAt !== null) return;
    on.put(attempt, key, { ...row, endedAt: on.now, outcome, stages });
    on.put(open, lease.job, null);
  });
}

export function renewLeases(
  sql: Sql,
  runner: RunnerId,
  leases: readonly LeaseRef[],
  leaseMs: number,
): Promise<readonly LeaseRef[]> {
  if (leases.length === 0) return Promise.resolve([]);
  return statement(sql, "renewLeases", (on) => {
    const { job } = tables();
    return leases.filter((lease) => {
      on.lock(job, lease.job);
      const row = on.get(job, lease.job);
      if (row === null || row.epoch !== lease.epoch || row.runnerId !== runner || !LEASED.has(row.state)) return false;
      on.put(job, row.id, { ...row, leaseExpiresAt: new Date(on.now.getTime() + leaseMs) });
      on.accepted.push({ what: "renewal", ...lease });
      return true;
    });
  });
}

export function saveProgress(sql: Sql, reports: readonly ProgressReport[]): Promise<readonly JobRow[]> {
  if (reports.length === 0) return Promise.resolve([]);
  return statement(sql, "saveProgress", (on) => {
    const { job } = tables();
    return reports.flatMap(({ lease, progress, uploading }) => {
      on.lock(job, lease.job);
      const row = on.get(job, lease.job);
      if (row === null || row.epoch !== lease.epoch || !LEASED.has(row.state)) return [];
      const saved: JobRow = {
        ...row,
        progress: Math.max(row.progress, Math.min(progress, 99)),
        state: nextState(row.state, uploading),
      };
      on.put(job, row.id, saved);
      on.accepted.push({ what: "progress", ...lease });
      return [saved];
    });
  });
}

function nextState(state: JobRow["state"], uploading: boolean): JobRow["state"] {
  if ((state === "starting" || state === "running") && uploading) return "uploading";
  return state === "starting" ? "running" : state;
}

export function insertCheckpoint(tx: Transaction, checkpoint: NewCheckpoint): Promise<boolean> {
  return statement(tx, "insertCheckpoint", (on) => {
    const { job, checkpoint: kept } = tables();
    const { lease, step, storeKey, sha256, bytes } = checkpoint;
    on.lock(job, lease.job);
    const row = on.get(job, lease.job);
    if (row === null || row.epoch !== lease.epoch || !LEASED.has(row.state)) return false;
    on.put(job, row.id, { ...row, stepsDone: Math.max(row.stepsDone, Math.min(step, lastStepOf(row))) });
    const key = `${lease.job}/${lease.epoch}/${step}`;
    if (on.get(kept, key) === null) {
      const made = { jobId: lease.job, epoch: lease.epoch, step, storeKey, sha256, bytes: BigInt(bytes) };
      on.put(kept, key, { ...made, writtenFor: lease.job, unusable: false });
    }
    on.accepted.push({ what: "checkpoint", ...lease });
    return true;
  });
}

function usable(on: Tx, job: VideoId): readonly CheckpointRow[] {
  return [...on.rows(tables().checkpoint)].filter((row) => row.jobId === job && !row.unusable).sort(newestFirst);
}

function newestFirst(a: CheckpointRow, b: CheckpointRow): number {
  return b.step - a.step || b.epoch - a.epoch;
}

export function checkpointsOf(sql: Sql | Transaction, job: VideoId): Promise<readonly StoredCheckpoint[]> {
  return statement(sql, "checkpointsOf", (on) => usable(on, job));
}

export function discardNewestCheckpoint(tx: Transaction, job: VideoId): Promise<void> {
  return statement(tx, "discardNewestCheckpoint", (on) => {
    const { job: jobs, checkpoint } = tables();
    const [newest, next] = usable(on, job);
    if (newest !== undefined) {
      on.put(checkpoint, `${job}/${newest.epoch}/${newest.step}`, { ...newest, unusable: true });
    }
    const row = on.get(jobs, job);
    if (row !== null) on.put(jobs, job, { ...row, stepsDone: next?.step ?? 0 });
  });
}

export function doneCheckpoints(sql: Sql, limit: number): Promise<readonly DoneCheckpoint[]> {
  return statement(sql, "doneCheckpoints", (on) => {
    const { job, checkpoint } = tables();
    const ages = new Map<string, number>();
    return [...on.rows(checkpoint)]
      .sort((a, b) => Number(a.unusable) - Number(b.unusable) || newestFirst(a, b))
      .filter((row) => {
        const age = (ages.get(row.jobId) ?? 0) + 1;
        ages.set(row.jobId, age);
        if (row.unusable || age > CHECKPOINTS_KEPT) return true;
        const of = on.get(job, row.jobId);
        const until = of?.deletedAt === null ? of.promotableUntil : null;
        return of?.finishedAt !== null && (age > 1 || until === null || until <= on.now);
      })
      .slice(0, limit);
  });
}

export function isCheckpointShared(sql: Sql, { jobId, storeKey }: DoneCheckpoint): Promise<boolean> {
  return statement(sql, "isCheckpointShared", (on) =>
    [...on.rows(tables().checkpoint)].some((row) => row.storeKey === storeKey && row.jobId !== jobId),
  );
}

export function forgetCheckpoint(sql: Sql, { jobId, epoch, step }: DoneCheckpoint): Promise<void> {
  return statement(sql, "forgetCheckpoint", (on) => on.put(tables().checkpoint, `${jobId}/${epoch}/${step}`, null));
}

export function endingLeases(
  sql: Sql,
  { graceMs, withinMs, limit }: { readonly graceMs: number; readonly withinMs: number; readonly limit: number },
): Promise<readonly EndingLease[]> {
  return statement(sql, "endingLeases", (on) =>
    [...on.rows(tables().job)]
      .flatMap(({ id, epoch, runnerId, leaseExpiresAt }) =>
        leaseExpiresAt === null || runnerId === null
          ? []
          : [{ job: id, epoch, runner: runnerId, leftMs: Number(leaseExpiresAt) - Number(on.now) + graceMs }],
      )
      .filter(({ leftMs }) => leftMs <= withinMs)
      .sort((a, b) => a.leftMs - b.leftMs)
      .slice(0, limit),
  );
}

export function jobsPastDeadline(sql: Sql, limit: number): Promise<readonly PastDeadline[]> {
  return statement(sql, "jobsPastDeadline", (on) => {
    const { job, tier } = tables();
    const unfinished = [...on.rows(job)].filter((row) => row.finishedAt === null);
    const isLate = (row: JobRow) => {
      const bound = on.get(tier, row.tier)?.startBoundS;
      return bound !== undefined && Number(row.createdAt) < Number(on.now) - START_BOUNDS_MAX * bound * 1_000;
    };
    return [
      ...unfinished.filter((row) => row.deadlineAt < on.now).map((row) => ({ job: row.id, which: "total" as const })),
      ...unfinished
        .filter((row) => row.deadlineAt >= on.now && isTooLate(row, on))
        .map((row) => ({ job: row.id, which: "asked_start" as const })),
      ...unfinished
        .filter((row) => row.startedAt === null && row.deadlineAt >= on.now && isLate(row) && !isTooLate(row, on))
        .map((row) => ({ job: row.id, which: "start" as const })),
    ].slice(0, limit);
  });
}

export function leasesOfRunner(sql: Sql, runner: RunnerId): Promise<readonly HeldLease[]> {
  return statement(sql, "leasesOfRunner", (on) =>
    [...on.rows(tables().job)]
      .filter((row) => row.finishedAt === null && row.runnerId === runner)
      .map((row) => ({ job: row.id, epoch: row.epoch, state: row.state })),
  );
}
