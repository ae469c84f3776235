/**
 * What a runner says about an attempt, made durable. Every write is fenced by the lease's epoch: `stale` means that the
 * attempt is over and the runner must stop.
 */
import type { JobEvent } from "#control-plane/core/job.ts";
import type { StageTime } from "#control-plane/core/scheduler/stage-clock.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import { insertCheckpoint, renewLeases, saveProgress } from "#control-plane/db/leases.ts";
import type { NewCheckpoint, ProgressReport } from "#control-plane/db/leases.ts";
import type { JobRow } from "#control-plane/db/jobs.ts";
import { inTransaction } from "#control-plane/db/transaction.ts";
import type { RunnerId } from "#protocol/id.ts";
import type { LeaseRef } from "#protocol/runner.ts";
import { LEASE_MS } from "#protocol/runner.ts";
import { moveJob } from "./move-job.ts";
import type { Moved } from "./move-job.ts";

export function recordProgress(sql: Sql, reports: readonly ProgressReport[]): Promise<readonly JobRow[]> {
  return saveProgress(sql, reports);
}

export async function recordCheckpoint(sql: Sql, checkpoint: NewCheckpoint): Promise<"recorded" | "stale"> {
  const kept = await inTransaction(sql, (tx) => insertCheckpoint(tx, checkpoint));
  return kept ? "recorded" : "stale";
}

export async function renew(sql: Sql, runner: RunnerId, leases: readonly LeaseRef[]) {
  const renewed = await renewLeases(sql, runner, leases, LEASE_MS);
  const kept = new Set(renewed.map((lease) => lease.job));
  return { renewed, stale: leases.filter((lease) => !kept.has(lease.job)) };
}

/**
 * The end of an attempt (finished, failed, stopped, lost). Repeating it is harmless: the second time the lease is over.
 * What the leader concludes, and no runner said, names the leader's epoch.
 */
export async function recordEnd(
  sql: Sql,
  lease: LeaseRef,
  event: Extract<JobEvent, { epoch: number }>,
  more: { readonly stages?: readonly StageTime[]; readonly leaderEpoch?: number } = {},
): Promise<Moved> {
  return moveJob(sql, lease.job, event, more);
}
