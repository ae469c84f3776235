/** What only the leader does besides dispatching: know the world at takeover, read its mail, take back dead leases. */
import { lastStepOf } from "#control-plane/core/job.ts";
import { withBuild } from "#control-plane/core/scheduler/cost-gpu.ts";
import type { QueuedJob, RunnerTerms, TierClock } from "#control-plane/core/scheduler/event.ts";
import { standingsOf } from "#control-plane/db/accounts.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import { tierClocks } from "#control-plane/db/fair-clock.ts";
import { forgetKeys } from "#control-plane/db/idempotency.ts";
import { forgetIncidents } from "#control-plane/db/incidents.ts";
import { jobsByIds, readInbox, unfinishedJobs } from "#control-plane/db/jobs.ts";
import type { JobRow, Mail } from "#control-plane/db/jobs.ts";
import { endingLeases, jobsPastDeadline, leasesOfRunner } from "#control-plane/db/leases.ts";
import type { HeldLease } from "#control-plane/db/leases.ts";
import { allRunners, upsertRunner } from "#control-plane/db/runners.ts";
import type { RunnerRow } from "#control-plane/db/runners.ts";
import {
  renewLeadership,
  resignLeadership,
  seeLeadership,
  serverTime,
  takeLeadership,
} from "#control-plane/db/leader.ts";
import type { LeaseSeen } from "#control-plane/db/leader.ts";
import { forgetNonces } from "#control-plane/db/submit.ts";
import type { AccountId, RunnerId, VideoId } from "#protocol/id.ts";
import { NONCE_KEPT_MS } from "#protocol/signed-call.ts";
import { loseRunner } from "./lose-runner.ts";
import { moveJob } from "./move-job.ts";
import { classIdOf } from "./read-terms.ts";

export const LEADER_LEASE_MS = 5_000;
const INBOX_BATCH_MAX = 500;
const SWEEP_BATCH_MAX = 100;
const FORGET_BATCH_MAX = 1_000;
/** A runner looks at its own clock five times a second: it lets go of a job before another one gets it. */
const LEASE_END_GRACE_MS = 300;

export interface Lead {
  /** `url`: where the other replicas reach this one. */
  take(holder: string, url: string): Promise<number | null>;
  look(): Promise<LeaseSeen>;
  renew(epoch: number): Promise<boolean>;
  resign(epoch: number): Promise<void>;
}

export function leadOf(sql: Sql): Lead {
  return {
    take: (holder, url) => takeLeadership(sql, holder, url, LEADER_LEASE_MS),
    look: () => seeLeadership(sql),
    renew: (epoch) => renewLeadership(sql, epoch, LEADER_LEASE_MS),
    resign: (epoch) => resignLeadership(sql, epoch),
  };
}

/** Milliseconds since 1970, by the database's clock. */
export function serverTimeMs(sql: Sql): Promise<number> {
  return serverTime(sql);
}

export function everyUnfinishedJob(sql: Sql): Promise<readonly JobRow[]> {
  return unfinishedJobs(sql);
}

/**
 * Which jobs' state may have changed since it was last handled, and whether the operator changed any terms. `handled`: the ids
 * of the mail before, which is forgotten.
 */
export function readMail(sql: Sql, epoch: number, handled: readonly bigint[]): Promise<Mail> {
  return readInbox(sql, epoch, handled, INBOX_BATCH_MAX);
}

/** Jobs as they are now. */
export function readJobs(sql: Sql, ids: readonly VideoId[]): Promise<readonly JobRow[]> {
  return jobsByIds(sql, ids);
}

/** Accounts as the scheduler meets them: their tier, and where they stood under the last leader. */
export async function meetAccounts(sql: Sql, accounts: readonly AccountId[]) {
  const rows = await standingsOf(sql, accounts);
  return rows.map(({ id, tier, tag }) => ({ account: id, tier, ...(tag === null ? {} : { tag: Number(tag) }) }));
}

export function storedClocks(sql: Sql): Promise<readonly TierClock[]> {
  return tierClocks(sql);
}

/** Runners that ever connected, for the devices that running jobs hold. */
export async function knownRunners(sql: Sql): Promise<readonly RunnerTerms[]> {
  return (await allRunners(sql)).map(runnerTermsOf);
}

export function runnerTermsOf(runner: Pick<RunnerRow, "id" | "build" | "models" | "caps" | "devices">): RunnerTerms {
  return {
    id: runner.id,
    gpu: withBuild(runner.devices[0]?.gpu ?? "none", runner.build),
    devices: runner.devices.map((device) => ({ id: device.id, vramBytes: device.vram_bytes, slots: device.slots })),
    models: runner.models,
    keeps: runner.caps.checkpoint === "exact",
  };
}

export function queuedJobOf(job: JobRow): QueuedJob {
  return {
    id: job.id,
    account: job.accountId,
    class: classIdOf(job.model, job.class),
    weights: job.model,
    steps: lastStepOf(job),
    stepsDone: job.stepsDone,
    seq: job.createdAt.getTime(),
    submittedAtMs: job.createdAt.getTime(),
    notBeforeMs: job.notBefore?.getTime() ?? 0,
    preemptions: job.preemptions,
    avoid: job.avoidRunnerId,
  };
}

export function leasesHeldBy(sql: Sql, runner: RunnerId): Promise<readonly HeldLease[]> {
  return leasesOfRunner(sql, runner);
}

export function registerRunner(sql: Sql, runner: RunnerRow): Promise<void> {
  return upsertRunner(sql, runner);
}

export interface LeaseSweep {
  readonly lost: readonly VideoId[];
  /** When the next lease is to be taken back, if nothing renews it and that is within the time asked about. */
  readonly nextMs: number | null;
}

/** Gives jobs of silent runners back to the queue. */
export async function sweepLeases(sql: Sql, leaderEpoch: number, withinMs: number): Promise<LeaseSweep> {
  const ending = await endingLeases(sql, { graceMs: LEASE_END_GRACE_MS, withinMs, limit: SWEEP_BATCH_MAX });
  const silent = Map.groupBy(
    ending.filter(({ leftMs }) => leftMs <= 0),
    ({ runner }) => runner,
  );
  const lost: VideoId[] = [];
  for (const [runner, leases] of silent) lost.push(...(await loseRunner(sql, leaderEpoch, runner, leases)));
  return { lost, nextMs: ending.find(({ leftMs }) => leftMs > 0)?.leftMs ?? null };
}

/** Fails jobs past a deadline, and forgets what is past its use; answers which jobs. */
export async function sweepOld(sql: Sql, leaderEpoch: number): Promise<readonly VideoId[]> {
  const failed: VideoId[] = [];
  for (const { job, which } of await jobsPastDeadline(sql, SWEEP_BATCH_MAX)) {
    const moved = await moveJob(sql, job, { kind: "deadline_passed", which }, { leaderEpoch });
    if (moved.ok) failed.push(job);
  }
  await forgetNonces(sql, NONCE_KEPT_MS);
  await forgetKeys(sql, FORGET_BATCH_MAX);
  await forgetIncidents(sql);
  return failed;
}
