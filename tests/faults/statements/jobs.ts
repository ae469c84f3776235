/** As `control-plane/db/jobs.ts`, as far as the simulated product reads and moves jobs. */
import type { JobChange } from "#control-plane/core/job.ts";
import type { JobRow, JobWithUsage, Mail, StoredResult } from "#control-plane/db/jobs.ts";
import type { Sql, Transaction } from "#control-plane/db/connect.ts";
import type { AccountId, VideoId } from "#protocol/id.ts";
import { milliCredits } from "#protocol/unit.ts";
import { statement } from "../postgres/client.ts";
import { tables } from "../postgres/here.ts";
import type { Tx } from "../postgres/tx.ts";

export function lockJob(tx: Transaction, id: VideoId): Promise<JobRow | null> {
  return statement(tx, "lockJob", (on) => {
    on.lock(tables().job, id);
    return on.get(tables().job, id);
  });
}

export function findVideo(sql: Sql | Transaction, account: AccountId, id: VideoId): Promise<JobWithUsage | null> {
  return statement(sql, "findVideo", (on) => {
    const { job, hold } = tables();
    const row = on.get(job, id);
    const reserved = on.get(hold, id);
    if (row === null || reserved === null || row.accountId !== account || row.deletedAt !== null) return null;
    const { amount, captured, released, refunded } = reserved;
    const held = milliCredits(amount - captured - released);
    const sums = { reserved: milliCredits(amount), held, charged: milliCredits(captured) };
    const rest = { released: milliCredits(released), refunded: milliCredits(refunded), lots: [] };
    return { job: row, usage: { job: id, ...sums, ...rest } };
  });
}

export function saveChange(tx: Transaction, before: JobRow, change: JobChange): Promise<JobRow | null> {
  return statement(tx, "saveChange", (on) => {
    const { job } = tables();
    on.lock(job, before.id);
    const row = on.get(job, before.id);
    if (row === null || row.state !== before.state || row.epoch !== before.epoch) return null;
    const moved: JobRow = { ...row, ...columnsOf(row, change, on.now), ...timesOf(change, on.now) };
    on.put(job, row.id, moved);
    if (moved.runnerId === null) freeClaims(on, row.id);
    return moved;
  });
}

function freeClaims(on: Tx, job: VideoId): void {
  const { claim } = tables();
  for (const [key, row] of on.entries(claim)) if (row.jobId === job) on.put(claim, key, null);
}

/** `keep_draft_hours` of every simulated tier. */
const KEEP_DRAFTS_MS = 24 * 3_600_000;
const OFF_RUNNER = { runnerId: null, devices: null, slot: null, leaseExpiresAt: null } as const;

function columnsOf(before: JobRow, change: JobChange, at: Date): Partial<JobRow> {
  switch (change.to) {
    case "completed":
      return {
        state: change.to,
        ...OFF_RUNNER,
        ...resultColumns(change),
        progress: 100,
        finishedAt: at,
        resultPolicy: change.policy,
        promotableUntil: before.stopAfter === null ? null : new Date(at.getTime() + KEEP_DRAFTS_MS),
      };
    case "moderating":
      return { state: change.to, ...OFF_RUNNER, ...resultColumns(change), stepsDone: change.stepsDone };
    case "asked_in_vain":
      return { moderationTries: change.tries };
    case "failed":
    case "cancelled":
      return {
        state: change.to,
        ...OFF_RUNNER,
        finishedAt: at,
        stepsDone: change.stepsDone,
        errorCode: change.failure.code,
        errorMessage: change.failure.message,
        errorFault: change.failure.fault,
        resultPolicy: change.policy,
      };
    case "preempted":
    case "retrying":
      return {
        state: change.to,
        ...OFF_RUNNER,
        runnerDeaths: change.runnerDeaths,
        engineFailures: change.engineFailures,
        runAlone: change.runAlone,
        preemptions: change.preemptions,
        avoidRunnerId: change.avoidRunner,
      };
    case "cancelling":
      return { state: change.to };
    default:
      return change satisfies never;
  }
}

function resultColumns({ artifact, artifactKey }: Extract<JobChange, { artifactKey: string }>): Partial<JobRow> {
  return {
    artifactKey,
    artifactSha256: artifact.sha256,
    artifactBytes: BigInt(artifact.bytes),
    latentsSha256: artifact.latents_sha256,
    framesSha256: artifact.frames_sha256,
  };
}

function timesOf(change: JobChange, at: Date): Pick<JobRow, "notBefore" | "moderateAt"> {
  const later = (ms: number) => new Date(at.getTime() + ms);
  return {
    notBefore: "delayMs" in change ? later(change.delayMs) : null,
    moderateAt: change.to === "moderating" ? at : change.to === "asked_in_vain" ? later(change.askAgainMs) : null,
  };
}

export function resultsToModerate(sql: Sql, limit: number): Promise<readonly JobRow[]> {
  return statement(sql, "resultsToModerate", (on) =>
    [...on.rows(tables().job)]
      .filter(({ moderateAt }) => moderateAt !== null && moderateAt <= on.now)
      .sort((a, b) => Number(a.moderateAt) - Number(b.moderateAt) || (a.id < b.id ? -1 : 1))
      .slice(0, limit),
  );
}

export function withheldResults(sql: Sql, limit: number): Promise<readonly StoredResult[]> {
  return statement(sql, "withheldResults", (on) =>
    [...on.rows(tables().job)]
      .flatMap(({ id, artifactKey, errorCode }) =>
        artifactKey === null || errorCode === null ? [] : [{ id, artifactKey }],
      )
      .slice(0, limit),
  );
}

export function forgetResult(sql: Sql, { id, artifactKey }: StoredResult): Promise<void> {
  return statement(sql, "forgetResult", (on) => {
    const { job } = tables();
    on.lock(job, id);
    const row = on.get(job, id);
    if (row?.artifactKey !== artifactKey || row.errorCode === null) return;
    const hashes = { artifactSha256: null, latentsSha256: null, framesSha256: null };
    on.put(job, id, { ...row, ...hashes, artifactKey: null, artifactBytes: null });
  });
}

export function goneResults(sql: Sql, limit: number): Promise<readonly StoredResult[]> {
  return statement(sql, "goneResults", (on) =>
    [...on.rows(tables().job)]
      .flatMap(({ id, artifactKey, artifactRemovedAt, errorCode, deletedAt }) =>
        artifactKey === null || artifactRemovedAt !== null || errorCode !== null || deletedAt === null
          ? []
          : [{ id, artifactKey }],
      )
      .slice(0, limit),
  );
}

export function markResultRemoved(sql: Sql, { id, artifactKey }: StoredResult): Promise<void> {
  return statement(sql, "markResultRemoved", (on) => {
    const { job } = tables();
    on.lock(job, id);
    const row = on.get(job, id);
    if (row?.artifactKey === artifactKey) on.put(job, id, { ...row, artifactRemovedAt: on.now });
  });
}

export function unfinishedJobs(sql: Sql): Promise<readonly JobRow[]> {
  return statement(sql, "unfinishedJobs", (on) =>
    [...on.rows(tables().job)]
      .filter((row) => row.finishedAt === null)
      .sort((a, b) => Number(a.createdAt) - Number(b.createdAt) || (a.id < b.id ? -1 : 1)),
  );
}

export function jobsByIds(sql: Sql, ids: readonly VideoId[]): Promise<readonly JobRow[]> {
  if (ids.length === 0) return Promise.resolve([]);
  return statement(sql, "jobsByIds", (on) =>
    [...new Set(ids)].flatMap((id) => {
      const row = on.get(tables().job, id);
      return row === null ? [] : [row];
    }),
  );
}

export function readInbox(sql: Sql, epoch: number, handled: readonly bigint[], limit: number): Promise<Mail> {
  return statement(sql, "readInbox", (on): Mail => {
    const { inbox, leader } = tables();
    if (handled.length > 0) {
      on.lock(leader, "leader", "share");
      const lease = on.get(leader, "leader");
      if (lease?.epoch === epoch && lease.expiresAt > on.clock()) {
        for (const id of handled) on.put(inbox, String(id), null);
      }
    }
    const rows = [...on.rows(inbox)]
      .filter(({ id }) => !handled.includes(BigInt(id)))
      .sort((a, b) => a.id - b.id)
      .slice(0, limit);
    const jobs = new Set(rows.flatMap(({ jobId }) => jobId ?? []));
    return {
      atMs: on.clock().getTime(),
      ids: rows.map(({ id }) => BigInt(id)),
      jobs: [...jobs],
      termsChanged: rows.some((row) => row.jobId === null),
    };
  });
}

function post(tx: Transaction, jobId: VideoId | null): Promise<void> {
  return statement(tx, "postInbox", (on) => {
    const id = tables().nextId();
    on.insert(tables().inbox, String(id), { id, jobId });
  });
}

export function postInbox(tx: Transaction, id: VideoId): Promise<void> {
  return post(tx, id);
}

export function postTermsChanged(tx: Transaction): Promise<void> {
  return post(tx, null);
}

export function markDeleted(tx: Transaction, account: AccountId, id: VideoId): Promise<void> {
  return statement(tx, "markDeleted", (on) => {
    const { job } = tables();
    on.lock(job, id);
    const row = on.get(job, id);
    if (row?.accountId === account && row.deletedAt === null) on.put(job, id, { ...row, deletedAt: on.now });
  });
}

export function isPromotable(sql: Sql, id: VideoId): Promise<boolean> {
  return statement(sql, "isPromotable", (on) => {
    const row = on.get(tables().job, id);
    return row?.deletedAt === null && row.promotableUntil !== null && row.promotableUntil > on.now;
  });
}
