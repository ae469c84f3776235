/**
 * Submit: load under the account's lock, decide the terms, then hold, job, lots and event in one transaction.
 *
 * The same `create_key` always answers with the same job, so a lost reply never makes a second one.
 */
import { admit, JOB_DEADLINE_MS, overload } from "#control-plane/core/admission.ts";
import type { Load } from "#control-plane/core/admission.ts";
import { eventDataOf } from "#control-plane/core/job-view.ts";
import { lockAccount } from "#control-plane/db/accounts.ts";
import { isLedgerSound } from "#control-plane/db/audit.ts";
import type { Sql, Transaction } from "#control-plane/db/connect.ts";
import { appendEvent } from "#control-plane/db/events.ts";
import type { JobRow } from "#control-plane/db/jobs.ts";
import { DEFAULT_MODEL, findModel } from "#control-plane/db/models.ts";
import { claimNonce, countWaiting, insertJob, jobOfCreateKey, spendable } from "#control-plane/db/submit.ts";
import { inTransaction } from "#control-plane/db/transaction.ts";
import type { SubmitVideo } from "#protocol/edge-call.ts";
import type { Refusal } from "#protocol/error.ts";
import type { AccountId, RequestId, Sha256Hex } from "#protocol/id.ts";
import { creditsText } from "#protocol/unit.ts";
import { LEDGER_STOPPED } from "./audit-ledger.ts";

export interface SubmitRequest {
  readonly account: AccountId;
  readonly requestId: RequestId;
  readonly submit: SubmitVideo;
  /** Already in the store; content-addressed, so an orphan of a refused submit is harmless. */
  readonly reference: { readonly sha256: Sha256Hex; readonly mediaType: string } | null;
  readonly seed: number;
  /** What is known of the queue for a tier, a model and its class. */
  readonly loadOf: (tier: string, model: string, className: string) => Load;
}

export type Submitted =
  | { readonly ok: true; readonly job: JobRow; readonly repeated: boolean }
  | { readonly ok: false; readonly refusal: Refusal };

export function submitJob(sql: Sql, request: SubmitRequest): Promise<Submitted> {
  return inTransaction(sql, (tx) => submitIn(tx, request));
}

async function submitIn(tx: Transaction, request: SubmitRequest): Promise<Submitted> {
  const { video, create_key: createKey } = request.submit;
  const [account, fresh, seen, waiting, model, sound] = await Promise.all([
    lockAccount(tx, request.account),
    claimNonce(tx, request.requestId),
    jobOfCreateKey(tx, request.account, createKey),
    countWaiting(tx, request.account),
    findModel(tx, video.model ?? DEFAULT_MODEL),
    isLedgerSound(tx),
  ]);
  if (account === null) return refuse({ code: "invalid_api_key", message: "The account does not exist." });
  if (!fresh) return refuse({ code: "invalid_value", param: "x-request-id", message: "This call was made before." });
  if (seen !== null) return { ok: true, job: seen, repeated: true };

  if (!sound) return refuse(LEDGER_STOPPED);
  const admission = admit(video, model, request.seed);
  if (!admission.ok) return admission;
  const { terms } = admission;
  const { tier, maxQueued, startBoundS } = account;
  const quota = { tier, queued: waiting, queuedMax: maxQueued, startBoundS };
  const overloaded = overload(quota, request.loadOf(tier, terms.model, terms.class));
  if (overloaded !== null) {
    // Who cannot pay is told that first: waiting would not help.
    const available = await spendable(tx, account.id);
    return refuse(available < terms.price ? poor(terms.price, available) : overloaded);
  }

  const inserted = await insertJob(tx, {
    account: account.id,
    createKey,
    tier: account.tier,
    prompt: video.prompt,
    negativePrompt: video.negative_prompt ?? "",
    metadata: video.metadata ?? {},
    reference: request.reference,
    deadlineMs: JOB_DEADLINE_MS,
    terms,
  });
  if (!inserted.ok) return refuse(poor(terms.price, inserted.available));
  await appendEvent(tx, { account: account.id, type: "video.queued", data: eventDataOf(inserted.job, null) });
  return { ok: true, job: inserted.job, repeated: false };
}

function poor(price: bigint, spendableNow: bigint): Refusal {
  const [required, available] = [creditsText(price), creditsText(spendableNow)];
  return {
    code: "insufficient_credits",
    message: `This video costs ${required} credits; ${available} are available.`,
    numbers: { required, available },
  };
}

function refuse(refusal: Refusal): Submitted {
  return { ok: false, refusal };
}
