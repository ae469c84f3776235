/** The tables that the simulated product uses, with the constraints of the real ones. */
import type { GrantRecord } from "#control-plane/core/ledger.ts";
import type { Book, EntryKind } from "#control-plane/core/ledger.ts";
import type { ClassRow, ModelRow } from "#control-plane/db/models.ts";
import type { JobRow } from "#control-plane/db/jobs.ts";
import type { TierRow } from "#control-plane/db/tiers.ts";
import type { KnownRunner } from "#control-plane/db/runners.ts";
import type { StageTime } from "#control-plane/core/scheduler/stage-clock.ts";
import { lastStepOf, PHASE_OF } from "#control-plane/core/job.ts";
import type { AttemptOutcome } from "#control-plane/core/job.ts";
import type { Happening } from "#protocol/event.ts";
import type { AccountId, DeviceId, RunnerId, Sha256Hex, VideoId } from "#protocol/id.ts";
import type { MilliCredits } from "#protocol/unit.ts";
import { Table } from "./table.ts";

export interface LeaderRow {
  readonly epoch: number;
  readonly holder: string;
  readonly url: string | null;
  readonly expiresAt: Date;
}

export interface AttemptRow {
  readonly jobId: VideoId;
  readonly epoch: number;
  readonly runnerId: RunnerId;
  readonly fromStep: number;
  readonly build: string;
  readonly gpu: string;
  readonly k: number;
  readonly startedAt: Date;
  readonly endedAt: Date | null;
  readonly outcome: AttemptOutcome | null;
  readonly stages: readonly StageTime[];
}

export interface IncidentRow {
  readonly id: number;
  readonly runnerId: RunnerId;
  readonly at: Date;
  readonly jobs: readonly VideoId[];
}

export interface ClaimRow {
  readonly runnerId: RunnerId;
  readonly device: DeviceId;
  readonly slot: number;
  readonly jobId: VideoId;
}

export interface CheckpointRow {
  readonly jobId: VideoId;
  readonly epoch: number;
  readonly step: number;
  readonly storeKey: string;
  readonly writtenFor: VideoId;
  readonly sha256: Sha256Hex;
  readonly bytes: bigint;
  readonly unusable: boolean;
}

export interface HoldRow {
  readonly jobId: VideoId;
  readonly accountId: AccountId;
  readonly amount: bigint;
  readonly captured: bigint;
  readonly released: bigint;
  readonly refunded: bigint;
  readonly state: "open" | "settled";
}

export interface LotRow {
  readonly jobId: VideoId;
  readonly grantId: string;
  readonly rank: number;
  readonly amount: MilliCredits;
  readonly captured: bigint;
}

export interface GrantRow extends GrantRecord {
  readonly accountId: AccountId;
  readonly amount: MilliCredits;
  readonly held: bigint;
  readonly consumed: bigint;
  readonly expired: bigint;
  readonly voided: bigint;
}

export interface EntryRow {
  readonly id: number;
  readonly accountId: AccountId;
  readonly grantId: string;
  readonly jobId: VideoId | null;
  readonly kind: EntryKind;
  readonly fromBook: Book;
  readonly toBook: Book;
  readonly amount: bigint;
  readonly availableAfter: bigint;
  readonly at: Date;
}

export interface EventRow {
  readonly accountId: AccountId;
  readonly sequenceNumber: number;
  readonly id: string;
  readonly happening: Happening;
  readonly createdAt: Date;
}

export interface KeyRow {
  readonly fingerprint: Sha256Hex;
  readonly jobId: VideoId;
  readonly createdAt: Date;
}

export interface SubscriptionRow {
  readonly accountId: AccountId;
  readonly sentThrough: number;
  readonly expiresAt: Date;
}

export interface SummaryTableRow {
  readonly tier: string;
  readonly class: string;
  readonly queued: number;
  readonly backlogMs: bigint;
  readonly startP50Ms: bigint | null;
  readonly startP90Ms: bigint | null;
  readonly epoch: number;
  readonly at: Date;
}

export class Tables {
  readonly leader = new Table<LeaderRow>("leader");
  readonly job = new Table<JobRow>("job", jobBreach);
  readonly attempt = new Table<AttemptRow>("attempt", (row) =>
    (row.endedAt === null) === (row.outcome === null) ? null : "attempt_ended_has_outcome",
  );
  /** The unique index `attempt_one_open_per_job`. */
  readonly openAttempt = new Table<number>("attempt_one_open_per_job");
  readonly claim = new Table<ClaimRow>("device_claim");
  readonly checkpoint = new Table<CheckpointRow>("checkpoint");
  readonly inbox = new Table<{ readonly id: number; readonly jobId: VideoId | null }>("inbox");
  readonly hold = new Table<HoldRow>("credit_hold", holdBreach);
  readonly lot = new Table<LotRow>("credit_hold_lot", (row) =>
    row.captured >= 0n && row.captured <= row.amount && row.amount > 0n ? null : "credit_hold_lot_captured_within",
  );
  readonly grant = new Table<GrantRow>("credit_grant", grantBreach);
  readonly entry = new Table<EntryRow>("credit_entry", (row) =>
    row.amount > 0n && row.availableAfter >= 0n ? null : "credit_entry_moves_something",
  );
  /** The unique index `credit_entry_once_per_job`. */
  readonly entryOfJob = new Table<number>("credit_entry_once_per_job");
  readonly event = new Table<EventRow>("event");
  readonly counter = new Table<number>("event_counter");
  readonly subscription = new Table<SubscriptionRow>("edge_subscription");
  readonly incident = new Table<IncidentRow>("runner_incident");
  readonly nonce = new Table<Date>("nonce");
  readonly createKey = new Table<VideoId>("job_one_per_create_key");
  readonly idempotencyKey = new Table<KeyRow>("idempotency_key");
  readonly fairTag = new Table<bigint>("fair_tag");
  readonly tierClock = new Table<{ readonly tier: string; readonly tag: number; readonly virtual: number }>(
    "tier_clock",
  );
  readonly summary = new Table<SummaryTableRow>("admission_summary");
  readonly runner = new Table<KnownRunner>("runner");
  readonly tier = new Table<TierRow>("tier");
  readonly account = new Table<{ readonly id: AccountId; readonly tier: string }>("account");
  readonly model = new Table<ModelRow>("model");
  readonly class = new Table<ClassRow>("model_class");
  readonly notice = new Table<true>("credit_notice");
  readonly watch = new Table<Date>("credit_watch");
  /** Sequences: not part of any transaction. */
  #sequence = 0;

  nextId(): number {
    return ++this.#sequence;
  }
}

function jobBreach(row: JobRow): string | null {
  const leased = PHASE_OF[row.state] === "leased";
  const ended = PHASE_OF[row.state] === "ended";
  if (leased !== (row.runnerId !== null)) return "job_leased_iff_on_runner";
  if ((row.runnerId === null) !== (row.leaseExpiresAt === null)) return "job_leased_iff_on_runner";
  if ((row.runnerId === null) !== (row.devices === null)) return "job_leased_iff_on_runner";
  if (row.slot !== null && row.devices?.length !== 1) return "job_slot_of_one_device";
  if (ended !== (row.finishedAt !== null)) return "job_finished_iff_terminal";
  if ((row.progress === 100) !== (row.state === "completed")) return "job_progress_full_iff_completed";
  const mayHaveResult = row.state === "failed" || row.state === "cancelled";
  const hasResult = row.state === "completed" || row.state === "moderating";
  if (!mayHaveResult && (row.artifactKey !== null) !== hasResult) return "job_artifact_if_rendered";
  if ((row.state === "moderating") !== (row.moderateAt !== null)) return "job_moderated_iff_moderating";
  if ((row.errorCode !== null) !== (row.state === "failed" || row.state === "cancelled")) return "job_error_iff_failed";
  const inRange = row.progress >= 0 && row.progress <= 100 && row.stepsDone >= 0 && row.stepsDone <= lastStepOf(row);
  return inRange ? null : "job_progress_in_range";
}

function holdBreach({ state, captured, released, amount, refunded }: HoldRow): string | null {
  const open = state === "open" && captured === 0n && released === 0n;
  const settled = state === "settled" && captured >= 0n && released >= 0n && captured + released === amount;
  if (!open && !settled) return "credit_hold_settles_whole";
  return refunded >= 0n && refunded <= captured ? null : "credit_hold_refunds_what_it_captured";
}

function grantBreach({ amount, held, consumed, expired, voided, available }: GrantRow): string | null {
  const books = [held, consumed, expired, voided];
  const sum = held + consumed + expired + voided;
  return books.every((book) => book >= 0n) && sum <= amount && available === amount - sum
    ? null
    : "credit_grant_not_overdrawn";
}
