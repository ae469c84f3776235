/**
 * Submit: load, decide the terms, have the prompt judged where the operator has a hook for that, then nonce, hold, job, event and mail in one statement.
 *
 * What is loaded is not locked: a refusal locks nobody, and the statement checks every condition again under the account's lock.
 * If one holds no more it writes nothing, and the decision is made anew. The same `create_key` always answers with the same job,
 * and so does the same idempotency key with the same request, so a lost reply never makes a second one.
 */
import { admit, overload, unaffordable } from "#control-plane/core/admission.ts";
import type { Admission, DraftTerms, Load, Terms } from "#control-plane/core/admission.ts";
import { JOB_DEADLINE_MS } from "#control-plane/core/job.ts";
import { queuedDataOf } from "#control-plane/core/job-view.ts";
import type { Model } from "#control-plane/core/model.ts";
import type { PromptToJudge, Verdict } from "#control-plane/core/moderation.ts";
import { chanceOf } from "#control-plane/core/retry-budget.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import { jobOfKey } from "#control-plane/db/idempotency.ts";
import type { Claimed } from "#control-plane/db/idempotency.ts";
import type { JobRow } from "#control-plane/db/jobs.ts";
import { DEFAULT_MODEL, findModel } from "#control-plane/db/models.ts";
import { claimNonce, insertJob, jobOfCreateKey, standingOf } from "#control-plane/db/submit.ts";
import type { NewJob, Standing } from "#control-plane/db/submit.ts";
import { inOneStatement } from "#control-plane/db/transaction.ts";
import type { SubmitVideo } from "#protocol/edge-call.ts";
import type { Refusal } from "#protocol/error.ts";
import { IDEMPOTENCY_KEY_REUSED } from "#protocol/idempotency.ts";
import type { AccountId, RequestId, Sha256Hex, VideoId } from "#protocol/id.ts";
import { LEDGER_STOPPED } from "./audit-ledger.ts";

/** Somebody else was first so often: the account changes faster than it can be read. */
const TRIES_MAX = 5;
const REPLAYED: Refusal = { code: "invalid_value", param: "x-request-id", message: "This call was made before." };
const UNJUDGED: Refusal = {
  code: "service_unavailable",
  message: "The prompt could not be checked against the content policy; nothing was stored.",
  retryAfterSeconds: 5,
};
const BUSY: Refusal = {
  code: "service_unavailable",
  message: "The account is busy with other calls; this one changed nothing.",
  retryAfterSeconds: 1,
};

export interface SubmitRequest {
  readonly account: AccountId;
  readonly requestId: RequestId;
  readonly submit: SubmitVideo;
  readonly reference: SubmittedReference | null;
  /** The video that it takes its terms from. */
  readonly remixOf?: VideoId;
  /** The draft whose rest it is. */
  readonly promoteOf?: { readonly id: VideoId; readonly terms: DraftTerms };
  readonly seed: number;
  /** What is known of the queue for a tier, a model and its class. */
  readonly loadOf: (tier: string, model: string, className: string) => Load;
  /** The moderation hook: null if it gave no verdict. Absent: nobody judges. */
  readonly judge?: (prompt: PromptToJudge) => Promise<Verdict | null>;
}

export interface SubmittedReference {
  readonly sha256: Sha256Hex;
  readonly mediaType: string;
  /** Puts it into the store; content-addressed, so an orphan of a submit that is refused after it is harmless. */
  readonly keep: () => Promise<void>;
}

export type Submitted =
  | {
      readonly ok: true;
      readonly job: JobRow;
      readonly repeated: boolean;
      /** A new one that waits, at first, for the account's own running videos. */
      readonly throttled: boolean;
    }
  | { readonly ok: false; readonly refusal: Refusal };

export async function submitJob(sql: Sql, request: SubmitRequest): Promise<Submitted> {
  const { account, requestId, submit } = request;
  const { video, create_key: createKey, idempotency: claim } = submit;
  let policy: string | null = null;
  for (let tries = 1; tries <= TRIES_MAX; tries++) {
    const [standing, model, claimed] = await Promise.all([
      standingOf(sql, account, { requestId, createKey }),
      findModel(sql, video.model ?? DEFAULT_MODEL),
      claim === undefined ? null : jobOfKey(sql, account, claim.key_sha256),
    ]);
    if (standing === null) return refuse({ code: "invalid_api_key", message: "The account does not exist." });
    if (standing.replayed) return refuse(REPLAYED);
    const decided = standing.created || claimed !== null ? null : decide(standing, model, request);
    if (decided?.ok !== true) {
      // The statement would claim the nonce, but there is nothing left for it to do.
      if (!(await claimNonce(sql, requestId))) return refuse(REPLAYED);
      if (decided !== null) return decided;
      if (claimed !== null) return replay(claimed, claim);
      const seen = await jobOfCreateKey(sql, account, createKey);
      return seen === null ? refuse(BUSY) : again(seen);
    }
    if (tries === 1) {
      const judged = await judgePrompt(request, decided.terms);
      if (!judged.ok) return (await claimNonce(sql, requestId)) ? judged : refuse(REPLAYED);
      policy = judged.policy;
      await request.reference?.keep();
    }
    const wanted = newJobOf(request, standing.tier, decided.terms, policy);
    const job = await inOneStatement(() => insertJob(sql, wanted));
    if (job !== null) return { ok: true, job, repeated: false, throttled: standing.full };
  }
  return refuse(BUSY);
}

/** What an earlier try made, for a caller that finds no way to make it again. */
export async function madeBefore(
  sql: Sql,
  account: AccountId,
  submit: Pick<SubmitVideo, "create_key" | "idempotency">,
): Promise<Submitted | null> {
  const claim = submit.idempotency;
  const claimed = claim === undefined ? null : await jobOfKey(sql, account, claim.key_sha256);
  if (claimed !== null) return replay(claimed, claim);
  const seen = await jobOfCreateKey(sql, account, submit.create_key);
  return seen === null ? null : again(seen);
}

/** The key answers for what it was given with, and for nothing else. */
function replay({ fingerprint, job }: Claimed, claim: SubmitVideo["idempotency"]): Submitted {
  return fingerprint === claim?.fingerprint ? again(job) : refuse(IDEMPOTENCY_KEY_REUSED);
}

function again(job: JobRow): Submitted {
  return { ok: true, job, repeated: true, throttled: false };
}

/** Before anything is stored or held. */
async function judgePrompt(
  { account, submit: { video }, reference, judge }: SubmitRequest,
  { model }: Terms,
): Promise<{ readonly ok: true; readonly policy: string | null } | { readonly ok: false; readonly refusal: Refusal }> {
  if (judge === undefined) return { ok: true, policy: null };
  const { prompt, negative_prompt: negativePrompt = "" } = video;
  const verdict = await judge({ account, model, prompt, negativePrompt, reference });
  if (verdict === null) return { ok: false, refusal: UNJUDGED };
  if (verdict.allowed) return { ok: true, policy: verdict.policy };
  const message = `The prompt was refused by the content policy (${verdict.reason}).`;
  return { ok: false, refusal: { code: "content_policy_violation", message, param: "prompt" } };
}

/** What an account that stands so may do; the statement checks it again under the lock. */
function decide(standing: Standing, model: Model | null, request: SubmitRequest): Admission {
  const { submit, seed, loadOf, requestId, promoteOf } = request;
  const admission = admit(submit.video, model, seed, promoteOf?.terms);
  if (!admission.ok) return admission;
  const refusal = obstacleOf(standing, admission.terms, loadOf, chanceOf(requestId, 1));
  return refusal === null ? admission : { ok: false, refusal };
}

/** What keeps an account that stands so from a video on these terms. `chance` spreads when it comes again. */
export function obstacleOf(
  standing: Standing,
  terms: Terms,
  loadOf: SubmitRequest["loadOf"],
  chance: number,
): Refusal | null {
  const { sound, tier, maxQueued, startBoundS, waiting, available } = standing;
  if (!sound) return LEDGER_STOPPED;
  // Who cannot pay is told that first: waiting would not help.
  if (available < terms.price) return unaffordable(terms.price, available);
  const quota = { tier, queued: waiting, queuedMax: maxQueued, startBoundS };
  return overload(quota, loadOf(tier, terms.model, terms.class), chance);
}

function newJobOf(
  { account, requestId, submit, reference, remixOf, promoteOf }: SubmitRequest,
  tier: string,
  terms: Terms,
  promptPolicy: string | null,
): NewJob {
  const { video, create_key: createKey } = submit;
  return {
    account,
    requestId,
    createKey,
    tier,
    prompt: video.prompt,
    negativePrompt: video.negative_prompt ?? "",
    metadata: video.metadata ?? {},
    reference,
    promptPolicy,
    webhookUrl: video.webhook_url ?? null,
    claim: submit.idempotency ?? null,
    remixOf: remixOf ?? null,
    promoteOf: promoteOf?.id ?? null,
    startDeadlineS: video.start_deadline_seconds ?? null,
    deadlineS: video.deadline_seconds ?? JOB_DEADLINE_MS / 1_000,
    terms,
    event: queuedDataOf(terms.price),
  };
}

function refuse(refusal: Refusal): Submitted {
  return { ok: false, refusal };
}
