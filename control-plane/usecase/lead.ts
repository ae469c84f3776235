/** What only the leader does besides dispatching: know the world at takeover, read its mail, take back dead leases. */
import type { AccountTerms, WaitingJob } from "#control-plane/core/scheduler.ts";
import { accountsWithTerms } from "#control-plane/db/accounts.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import { jobsByIds, takeInbox, unfinishedJobs } from "#control-plane/db/jobs.ts";
import type { JobRow } from "#control-plane/db/jobs.ts";
import { expiredLeases, jobsPastDeadline, leasesOfRunner } from "#control-plane/db/leases.ts";
import type { HeldLease } from "#control-plane/db/leases.ts";
import { upsertRunner } from "#control-plane/db/runners.ts";
import type { RunnerRow } from "#control-plane/db/runners.ts";
import { renewLeadership, resignLeadership, takeLeadership } from "#control-plane/db/leader.ts";
import { forgetNonces } from "#control-plane/db/submit.ts";
import type { AccountId, RunnerId, VideoId } from "#protocol/id.ts";
import { NONCE_KEPT_MS } from "#protocol/signed-call.ts";
import { moveJob } from "./move-job.ts";

export const LEADER_LEASE_MS = 5_000;
const INBOX_BATCH_MAX = 500;
const SWEEP_BATCH_MAX = 100;

export interface Lead {
  take(holder: string): Promise<number | null>;
  renew(epoch: number): Promise<boolean>;
  resign(epoch: number): Promise<void>;
}

export function leadOf(sql: Sql): Lead {
  return {
    take: (holder) => takeLeadership(sql, holder, LEADER_LEASE_MS),
    renew: (epoch) => renewLeadership(sql, epoch, LEADER_LEASE_MS),
    resign: (epoch) => resignLeadership(sql, epoch),
  };
}

export function everyUnfinishedJob(sql: Sql): Promise<readonly JobRow[]> {
  return unfinishedJobs(sql);
}

/** Jobs whose state may have changed since the last call, as they are now. */
export async function readInbox(sql: Sql): Promise<readonly JobRow[]> {
  return jobsByIds(sql, await takeInbox(sql, INBOX_BATCH_MAX));
}

export async function termsOf(sql: Sql, accounts: readonly AccountId[]): Promise<readonly AccountTerms[]> {
  if (accounts.length === 0) return [];
  const rows = await accountsWithTerms(sql, accounts);
  return rows.map((row) => ({ account: row.id, weight: row.weight, maxRunning: row.maxRunning }));
}

export function waitingJobOf(job: JobRow): WaitingJob {
  return {
    id: job.id,
    account: job.accountId,
    model: job.model,
    class: job.class,
    gpuMs: job.gpuMs,
    createdAtMs: job.createdAt.getTime(),
    notBeforeMs: job.notBefore?.getTime() ?? 0,
    avoid: job.avoidRunnerId,
  };
}

export function leasesHeldBy(sql: Sql, runner: RunnerId): Promise<readonly HeldLease[]> {
  return leasesOfRunner(sql, runner);
}

export function registerRunner(sql: Sql, runner: RunnerRow): Promise<void> {
  return upsertRunner(sql, runner);
}

/** Gives jobs of silent runners back to the queue, and fails those past their deadline; answers what it touched. */
export async function sweep(sql: Sql, nowMs: number): Promise<readonly VideoId[]> {
  const touched: VideoId[] = [];
  for (const lease of await expiredLeases(sql, SWEEP_BATCH_MAX)) {
    const moved = await moveJob(sql, lease.job, { kind: "lost", epoch: lease.epoch, how: "died" }, nowMs);
    if (moved.ok) touched.push(lease.job);
  }
  for (const job of await jobsPastDeadline(sql, SWEEP_BATCH_MAX)) {
    const moved = await moveJob(sql, job, { kind: "deadline_passed" }, nowMs);
    if (moved.ok) touched.push(job);
  }
  await forgetNonces(sql, NONCE_KEPT_MS);
  return touched;
}
