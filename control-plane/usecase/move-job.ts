/**
 * The one way in which a job changes its state after it was admitted: lock, decide (`core/job.ts`), save.
 *
 * In the same transaction: the guarded update, the end of the attempt, the settlement of the hold, mail to the
 * scheduler, and the event with its webhooks. So a job is never finished unpaid, or paid and unfinished.
 */
import { step } from "#control-plane/core/job.ts";
import type { JobChange, JobEvent } from "#control-plane/core/job.ts";
import { eventDataOf } from "#control-plane/core/job-view.ts";
import { blamesRunner } from "#control-plane/core/retry.ts";
import type { MakeGood } from "#control-plane/core/ledger.ts";
import type { StageTime } from "#control-plane/core/scheduler/stage-clock.ts";
import type { Sql, Transaction } from "#control-plane/db/connect.ts";
import { appendEvent } from "#control-plane/db/events.ts";
import { recordIncident } from "#control-plane/db/incidents.ts";
import { lockJob, postInbox, postTermsChanged, saveChange } from "#control-plane/db/jobs.ts";
import type { JobRow } from "#control-plane/db/jobs.ts";
import { assertLeader } from "#control-plane/db/leader.ts";
import { closeAttempt, discardNewestCheckpoint } from "#control-plane/db/leases.ts";
import { retryLoad } from "#control-plane/db/attempts.ts";
import { inTransaction } from "#control-plane/db/transaction.ts";
import type { VideoId } from "#protocol/id.ts";
import { invariant } from "#protocol/invariant.ts";
import { creditsText } from "#protocol/unit.ts";
import { settleHold } from "./settle-hold.ts";

export type Moved =
  | { readonly ok: true; readonly before: JobRow; readonly after: JobRow }
  | { readonly ok: false; readonly refusal: "unknown" | "stale" | "ended" };

/** For events after which nothing is tried again. */
const NO_LOAD = { broken: 0, dispatched: 0, perMinute: null };

/** Run errors that blame what the attempt was to resume from. */
const CHECKPOINT_FAULTS: ReadonlySet<string> = new Set(["bad_checkpoint", "checkpoint_unavailable"]);

interface MoveOptions {
  /** Checked under the job's lock, e.g. that this account owns it. */
  readonly guard?: (job: JobRow) => boolean;
  /** The act of a leader, refused by `NotLeaderError` if another one leads: what it knows may be out of date. */
  readonly leaderEpoch?: number;
  /** How long the stages of the attempt took that this ends. */
  readonly stages?: readonly StageTime[];
}

export function moveJob(sql: Sql, id: VideoId, event: JobEvent, options: MoveOptions = {}): Promise<Moved> {
  return inTransaction(sql, (tx) => moveJobIn(tx, id, event, options));
}

export async function moveJobIn(
  tx: Transaction,
  id: VideoId,
  event: JobEvent,
  { guard = () => true, leaderEpoch, stages = [] }: MoveOptions = {},
): Promise<Moved> {
  if (leaderEpoch !== undefined) await assertLeader(tx, leaderEpoch);
  const before = await lockJob(tx, id);
  if (before === null || !guard(before)) return { ok: false, refusal: "unknown" };
  const breaks = event.kind === "run_failed" || event.kind === "lost";
  const decision = step(before, event, breaks ? await retryLoad(tx) : NO_LOAD);
  if (!decision.ok) return decision;
  const after = await saveChange(tx, before, decision.change);
  invariant(after !== null, "a locked job cannot move between decision and save");
  await settle(tx, { event, before, after, change: decision.change, stages });
  return { ok: true, before, after };
}

interface Move {
  readonly event: JobEvent;
  readonly before: JobRow;
  readonly after: JobRow;
  readonly change: JobChange;
  readonly stages: readonly StageTime[];
}

async function settle(tx: Transaction, { event, before, after, change, stages }: Move): Promise<void> {
  // Of a job that ends nobody resumes, and what it is charged goes by the steps that it keeps.
  if (change.to === "retrying" && event.kind === "run_failed" && CHECKPOINT_FAULTS.has(event.error.code)) {
    await discardNewestCheckpoint(tx, before.id);
  }
  if (change.attempt !== null) {
    await closeAttempt(tx, { job: before.id, epoch: before.epoch }, change.attempt, stages);
  }
  const account = before.accountId;
  let charged: bigint | null = null;
  let makeGood: MakeGood | null = null;
  if ("charge" in change) {
    const fault = change.to === "failed" ? change.failure.fault : "user";
    makeGood = await settleHold(tx, { job: before.id, account, charge: change.charge, fault });
    charged = change.charge;
  }
  await postInbox(tx, before.id);
  if (event.kind === "run_failed" && blamesRunner(event.error) && before.runnerId !== null) {
    await recordIncident(tx, before.runnerId, [before.id]);
    await postTermsChanged(tx);
  }
  if (change.event !== null) {
    await appendEvent(tx, { account, type: change.event, data: eventDataOf(after, charged) });
  }
  if (makeGood !== null) {
    await appendEvent(tx, { account, type: "credits.make_good", data: makeGoodDataOf(before.id, makeGood) });
  }
}

function makeGoodDataOf(video: VideoId, { id, amount, expiresAt }: MakeGood) {
  return {
    video_id: video,
    grant_id: id,
    amount: creditsText(amount),
    expires_at: Math.floor(expiresAt.getTime() / 1_000),
  };
}
