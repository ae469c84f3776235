/** All rows that matter of the model, in the shape that `tests/db/model.test.ts` reads from PostgreSQL. */
import type { Tables } from "./tables.ts";

export function modelRows(tables: Tables): Readonly<Record<string, readonly unknown[]>> {
  const sequence = new Map([...tables.job.committed()].map(({ id }, index) => [id, index]));
  const by = (row: { readonly jobId: string }) => sequence.get(row.jobId as never) ?? 0;
  return {
    leader: [...tables.leader.committed()].map((row) => [row.epoch, row.holder]),
    jobs: [...tables.job.committed()].map((row) => [
      row.id,
      row.state,
      row.epoch,
      row.attempts,
      row.progress,
      row.stepsDone,
      row.preemptions,
      row.runnerDeaths,
      row.engineFailures,
      row.runnerId,
      row.devices,
      row.slot,
      row.avoidRunnerId,
      row.errorCode,
      row.artifactKey,
      row.leaseExpiresAt !== null,
      row.notBefore !== null,
      row.finishedAt !== null,
      row.deletedAt !== null,
      row.startedAt !== null,
      row.runAlone,
    ]),
    attempts: [...tables.attempt.committed()]
      .sort((a, b) => by(a) - by(b) || a.epoch - b.epoch)
      .map((row) => [
        row.jobId,
        row.epoch,
        row.runnerId,
        row.fromStep,
        row.outcome,
        row.endedAt !== null,
        row.k,
        row.build,
      ]),
    claims: [...tables.claim.committed()]
      .map((row) => [row.runnerId, row.device, row.slot, row.jobId])
      .sort((a, b) => (a.slice(0, 3).join() < b.slice(0, 3).join() ? -1 : 1)),
    checkpoints: [...tables.checkpoint.committed()]
      .sort((a, b) => by(a) - by(b) || a.epoch - b.epoch || a.step - b.step)
      .map((row) => [row.jobId, row.epoch, row.step, row.storeKey, row.unusable]),
    keys: [...tables.idempotencyKey.committed()]
      .sort((a, b) => by(a) - by(b))
      .map((row) => [row.fingerprint, row.jobId]),
    inbox: [...tables.inbox.committed()].sort((a, b) => a.id - b.id).map(({ jobId }) => [jobId]),
    holds: [...tables.hold.committed()]
      .sort((a, b) => by(a) - by(b))
      .map((row) => [row.jobId, row.amount, row.captured, row.released, row.state]),
    lots: [...tables.lot.committed()]
      .sort((a, b) => by(a) - by(b))
      .map((row) => [row.jobId, row.grantId, row.rank, row.amount, row.captured]),
    grants: [...tables.grant.committed()]
      .sort((a, b) => (a.id < b.id ? -1 : 1))
      .map((row) => [row.id, row.available, row.held, row.consumed, row.expired, row.voided]),
    entries: [...tables.entry.committed()]
      .sort((a, b) => a.id - b.id)
      .map((row) => [
        row.accountId,
        row.grantId,
        row.jobId,
        row.kind,
        row.fromBook,
        row.toBook,
        row.amount,
        row.availableAfter,
      ]),
    events: [...tables.event.committed()]
      .sort((a, b) =>
        a.accountId < b.accountId ? -1 : a.accountId > b.accountId ? 1 : a.sequenceNumber - b.sequenceNumber,
      )
      .map((row) => [row.accountId, row.sequenceNumber, row.happening.type]),
    subscriptions: [...tables.subscription.committed()]
      .sort((a, b) => (a.accountId < b.accountId ? -1 : 1))
      .map((row) => [row.accountId, row.sentThrough]),
  };
}
