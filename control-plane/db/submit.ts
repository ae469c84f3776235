/**
 * A submit in two steps: what is known of the account, read without a lock, and one statement under its lock that writes
 * everything or nothing.
 */
import type { Terms } from "#control-plane/core/admission.ts";
import type { JobRecord } from "#control-plane/core/job.ts";
import type { IdempotencyClaim } from "#protocol/edge-call.ts";
import type { VideoEventData } from "#protocol/event.ts";
import type { AccountId, CreateKey, RequestId, Sha256Hex, VideoId } from "#protocol/id.ts";
import { IDEMPOTENCY_KEPT_MS } from "#protocol/idempotency.ts";
import { WEBHOOK_DEFAULT_EVENTS } from "#protocol/webhook.ts";
import type { Sql } from "./connect.ts";
import { APPEND_TOLD } from "./events.ts";

export async function jobOfCreateKey(sql: Sql, account: AccountId, key: CreateKey): Promise<JobRecord | null> {
  const [row] = await sql<JobRecord[]>`select * from job where account_id = ${account} and create_key = ${key}`;
  return row ?? null;
}

/** False if this very call was seen before: a replay. */
export async function claimNonce(sql: Sql, requestId: RequestId): Promise<boolean> {
  const rows = await sql`insert into nonce (request_id) values (${requestId}) on conflict do nothing returning 1`;
  return rows.length === 1;
}

/** Where an account stands at one moment, with a call if there is one. */
export interface Standing {
  readonly tier: string;
  readonly maxQueued: number;
  readonly startBoundS: number;
  readonly waiting: number;
  /** It runs as many videos as it may: another one is throttled. */
  readonly full: boolean;
  readonly available: bigint;
  /** The ledger passed its last audit. */
  readonly sound: boolean;
  /** This very call was made before. */
  readonly replayed: boolean;
  /** There is a job of this create key. */
  readonly created: boolean;
}

export async function standingOf(
  sql: Sql,
  account: AccountId,
  call: { readonly requestId: RequestId; readonly createKey: CreateKey } | null,
): Promise<Standing | null> {
  const [row] = await sql<Standing[]>`
    select a.tier, t.max_queued, t.start_bound_s,
      (select count(*)::int from job
        where account_id = a.id and state in ('queued', 'preempted', 'retrying')) as waiting,
      (select count(*) from job where account_id = a.id and runner_id is not null) >= t.max_running as full,
      (select coalesce(sum(available), 0)::bigint from credit_grant
        where account_id = a.id and effective_at <= now() and (expires_at is null or expires_at > now())) as available,
      not exists (select 1 from ledger_audit where breaches <> '[]') as sound,
      exists (select 1 from nonce where request_id = ${call?.requestId ?? null}) as replayed,
      exists (select 1 from job where account_id = a.id and create_key = ${call?.createKey ?? null}) as created
    from account a join tier t on t.name = a.tier
    where a.id = ${account}`;
  return row ?? null;
}

export interface NewJob {
  readonly account: AccountId;
  readonly requestId: RequestId;
  readonly createKey: CreateKey;
  /** As it was when the job was admitted. */
  readonly tier: string;
  readonly prompt: string;
  readonly negativePrompt: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly reference: { readonly sha256: Sha256Hex; readonly mediaType: string } | null;
  /** By which version of the policy its prompt was let through. Absent: nobody judged. */
  readonly promptPolicy?: string | null;
  /** Who is told of its end, beside the account's endpoints. */
  readonly webhookUrl: string | null;
  /** The key that the client gave its create, if it gave one. */
  readonly claim: IdempotencyClaim | null;
  /** The completed video that it is a remix of. */
  readonly remixOf: VideoId | null;
  /** The completed draft that it is the rest of. */
  readonly promoteOf: VideoId | null;
  readonly startDeadlineS: number | null;
  readonly deadlineS: number;
  readonly terms: Terms;
  /** Of its first event, but for the id. */
  readonly event: Omit<VideoEventData, "id">;
}

/**
 * Nonce, hold, lots, journal, job, idempotency key, event, webhooks and inbox: either all of them exist or none. One statement in one round
 * trip, run under the account's lock by a function of the database, so that it sees what was committed while it waited for the
 * lock. `gate` repeats every condition of admission; null says that one of them holds no more, and that nothing was written.
 *
 * A `webhook_url` is an endpoint of the account, one however many videos name it. Naming it again enables it again.
 *
 * Lots are taken in burn order (priority, expiry, promotional < plan < paid, effective, id; as `deduct` in `core/ledger.ts`).
 */
export async function insertJob(sql: Sql, job: NewJob): Promise<JobRecord | null> {
  const { terms } = job;
  const input = {
    account_id: job.account,
    request_id: job.requestId,
    create_key: job.createKey,
    tier: job.tier,
    model: terms.model,
    class: terms.class,
    prompt: job.prompt,
    negative_prompt: job.negativePrompt,
    size: terms.size,
    fps: terms.fps,
    seconds: terms.seconds,
    steps: terms.steps,
    first_step: terms.firstStep,
    stop_after: terms.stopAfter,
    seed: terms.seed,
    metadata: job.metadata,
    reference_sha256: job.reference?.sha256 ?? null,
    reference_media_type: job.reference?.mediaType ?? null,
    prompt_policy: job.promptPolicy ?? null,
    // JSON has no whole numbers of this size.
    price: String(terms.price),
    gpu_ms: terms.gpuMs,
    remix_of: job.remixOf,
    promote_of: job.promoteOf,
    start_deadline_s: job.startDeadlineS,
    deadline_s: job.deadlineS,
    event: job.event,
    webhook_url: job.webhookUrl,
    webhook_events: WEBHOOK_DEFAULT_EVENTS,
    idempotency_key: job.claim?.key_sha256 ?? null,
    fingerprint: job.claim?.fingerprint ?? null,
  };
  const [row] = await sql<JobRecord[]>`
    select * from under_account_lock(${job.account}, ${submitStatement(job)}, ${sql.json(input)})`;
  return row ?? null;
}

/** What a video does without is left out: each submit plans its statement anew. */
function submitStatement({ webhookUrl, claim, promoteOf }: NewJob): string {
  let statement = SUBMIT;
  if (webhookUrl === null) statement = statement.replace(RECEIVER, "");
  if (claim === null) statement = statement.replace(CLAIM, "").replace(KEY_IS_FREE, "");
  if (promoteOf !== null) return statement;
  return statement.replace(IS_PROMOTABLE, "").replace(KEPT, "").replace(STEPS_KEPT, "0").replace(GOES_ON, "");
}

const RECEIVER = `signer as (
      insert into webhook_secret (account_id, secret)
      select account_id, 'whsec_' || encode(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()), 'base64')
      from input, entered where webhook_url is not null
      on conflict do nothing
    ),
    receiver as (
      insert into webhook_endpoint (id, account_id, scope, url, events)
      select 'we_' || replace(uuidv7()::text, '-', ''), account_id, 'videos', webhook_url, webhook_events
      from input, entered where webhook_url is not null
      on conflict (account_id, url) where scope = 'videos'
      do update set enabled = true, disabled_reason = null,
        failures = case when webhook_endpoint.enabled then webhook_endpoint.failures else 0 end,
        failing_since = case when webhook_endpoint.enabled then webhook_endpoint.failing_since end
      returning id
    ),
    told_too as (
      insert into video_webhook (job_id, endpoint_id) select new_job.id, receiver.id from new_job, receiver
    ),`;

const KEY_IS_FREE = `and not exists (
          select 1 from idempotency_key k
          where k.account_id = a.id and k.key_sha256 = input.idempotency_key
            and k.created_at > clock_timestamp() - interval '${IDEMPOTENCY_KEPT_MS / 1_000} s'
        )`;
/** A row that is there already is too old to stand for anything. */
const CLAIM = `claimed as (
      insert into idempotency_key (account_id, key_sha256, fingerprint, job_id, created_at)
      select new_job.account_id, idempotency_key, fingerprint, new_job.id, new_job.created_at
      from new_job, input
      on conflict (account_id, key_sha256)
      do update set fingerprint = excluded.fingerprint, job_id = excluded.job_id, created_at = excluded.created_at
    ),`;

const IS_PROMOTABLE = `and exists (
          select 1 from job draft
          where draft.id = input.promote_of and draft.account_id = a.id and draft.deleted_at is null
            and draft.promotable_until > clock_timestamp()
        )`;
/** What the draft left. Nothing, if its file did not get into the store: its steps are then done again, and cost nothing. */
const KEPT = `kept as materialized (
      select c.step, c.store_key, c.sha256, c.bytes, c.exactness, coalesce(c.written_for, c.job_id) as written_for
      from checkpoint c, input
      where c.job_id = input.promote_of and not c.unusable and c.step <= input.first_step
      order by c.step desc, c.epoch desc limit 1
    ),`;
const STEPS_KEPT = "coalesce((select step from kept), 0)";
const GOES_ON = `going_on as (
      insert into checkpoint (job_id, epoch, step, store_key, sha256, bytes, exactness, written_for)
      select new_job.id, 0, step, store_key, sha256, bytes, exactness, written_for from new_job, kept
    ),`;

const SUBMIT = `
    with input as materialized (
      select * from jsonb_to_record($1) as i (
        account_id text, request_id text, create_key text, tier text, model text, class text, prompt text, negative_prompt text,
        size text, fps int, seconds int, steps int, first_step int, stop_after int, seed bigint, metadata jsonb, reference_sha256 text,
        reference_media_type text, price bigint, gpu_ms int, remix_of text, promote_of text, start_deadline_s int,
        deadline_s int, event jsonb, prompt_policy text,
        webhook_url text, webhook_events event_type[], idempotency_key text, fingerprint text
      )
    ),
    gate as materialized (
      select input.price, date_trunc('milliseconds', clock_timestamp()) as at
      from input join account a on a.id = input.account_id and a.tier = input.tier join tier t on t.name = a.tier
      join model_class c on c.model = input.model and c.name = input.class and c.retired_at is null
      where not exists (select 1 from ledger_audit where breaches <> '[]')
        and not exists (select 1 from job where account_id = a.id and create_key = input.create_key)
        ${KEY_IS_FREE}
        ${IS_PROMOTABLE}
        and (select count(*) from job where account_id = a.id and state in ('queued', 'preempted', 'retrying')) < t.max_queued
    ),
    mine as materialized (select g.* from credit_grant g, input where g.account_id = input.account_id),
    spendable as (
      select id, available as free,
        row_number() over burn as rank,
        sum(available) over (burn rows unbounded preceding) as through
      from mine, gate
      where available > 0 and effective_at <= at and (expires_at is null or expires_at > at)
      window burn as (order by priority, coalesce(expires_at, 'infinity'), category, effective_at, id)
    ),
    affordable as (select gate.* from gate where (select max(through) from spendable) >= price),
    fresh as (
      insert into nonce (request_id) select request_id from input, affordable on conflict do nothing returning 1
    ),
    entered as (select affordable.* from affordable, fresh),
    lot as (
      select id, rank, least(free, price - (through - free))::bigint as take
      from spendable, entered where through - free < price
    ),
    pinned as (
      update credit_grant set held = held + lot.take from lot where credit_grant.id = lot.id
    ),
    ${KEPT}
    new_job as (
      insert into job (
        id, account_id, create_key, tier, model, class, prompt, negative_prompt, size, fps, seconds, steps, seed,
        metadata, reference_sha256, reference_media_type, remixed_from_video_id, promoted_from_video_id, first_step, stop_after,
        price, gpu_ms, created_at, start_deadline_at, deadline_at, prompt_policy, steps_done
      )
      select 'video_' || replace(uuidv7()::text, '-', ''), account_id, create_key, tier, model, class, prompt, negative_prompt,
        size, fps, seconds, steps, seed, metadata, reference_sha256, reference_media_type, remix_of, promote_of, first_step,
        stop_after, entered.price, gpu_ms, at, at + make_interval(secs => start_deadline_s),
        at + make_interval(secs => deadline_s), prompt_policy, ${STEPS_KEPT}
      from input, entered
      returning *
    ),
    hold as (
      insert into credit_hold (job_id, account_id, amount, created_at) select id, account_id, price, created_at from new_job
    ),
    hold_lot as (
      insert into credit_hold_lot (job_id, grant_id, rank, amount)
      select new_job.id, lot.id, lot.rank, lot.take from new_job, lot
    ),
    entry as (
      insert into credit_entry (account_id, grant_id, job_id, kind, from_book, to_book, amount, available_after, at)
      select new_job.account_id, lot.id, new_job.id, 'held', 'available', 'held', lot.take,
        (select sum(available) from mine) - sum(lot.take) over (order by lot.rank), new_job.created_at
      from new_job, lot order by lot.rank
    ),
    ${RECEIVER}
    ${CLAIM}
    ${GOES_ON}
    mail as (insert into inbox (job_id) select id from new_job),
    told as (
      select new_job.account_id, 'video.queued'::event_type as type, new_job.id as job_id,
        input.event || jsonb_build_object('id', new_job.id) as data
      from new_job, input
    ),
    ${APPEND_TOLD}
    select * from new_job`;

export async function forgetNonces(sql: Sql, olderThanMs: number): Promise<void> {
  await sql`delete from nonce where seen_at < now() - make_interval(secs => ${olderThanMs / 1_000})`;
}
