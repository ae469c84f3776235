/**
 * The operator's acts on the ledger: grant, void, adjust, refund. Each is one transaction under the account's lock, and its
 * idempotency key makes it happen once: the same key with the same request is answered as the first time.
 */
import { deduct, end, endOf, issue, refund, spendableOf } from "#control-plane/core/ledger.ts";
import type { Posting } from "#control-plane/core/ledger.ts";
import type { GrantCategory } from "#control-plane/core/credit/grant.ts";
import type { Sql, Transaction } from "#control-plane/db/connect.ts";
import { findVideoOwner } from "#control-plane/db/jobs.ts";
import {
  actOfKey,
  capturedLots,
  entriesOfAct,
  freeGrants,
  grantRecord,
  insertAct,
  insertGrant,
  lockLedger,
  markRefunded,
  post,
} from "#control-plane/db/ledger.ts";
import type { NewAct } from "#control-plane/db/ledger.ts";
import { appendEvent } from "#control-plane/db/events.ts";
import { findGrant } from "#control-plane/db/ledger-read.ts";
import { inTransaction } from "#control-plane/db/transaction.ts";
import type { Refusal } from "#protocol/error.ts";
import type { Happening } from "#protocol/event.ts";
import { IDEMPOTENCY_KEY_REUSED } from "#protocol/idempotency.ts";
import type { AccountId, VideoId } from "#protocol/id.ts";
import { creditsText, milliCredits } from "#protocol/unit.ts";
import type { MilliCredits } from "#protocol/unit.ts";
import { NO_ACCOUNT, refuse } from "./admin-answer.ts";
import type { Answer } from "./admin-answer.ts";
import { record } from "./admin-audit.ts";
import type { Operator } from "./admin-audit.ts";

const ADJUSTMENT = { category: "paid", priority: 50 } as const;

export interface Acted {
  readonly act: bigint;
  readonly account: AccountId;
  /** When it was done first. */
  readonly at: Date;
  /** What it moved, per grant. */
  readonly entries: readonly { readonly grantId: string; readonly amount: MilliCredits }[];
  /** The sum of them. */
  readonly amount: MilliCredits;
  /** It was done before, under this key. */
  readonly repeated: boolean;
}

export interface WantedGrant {
  readonly account: AccountId;
  readonly amount: MilliCredits;
  readonly category: GrantCategory;
  readonly priority: number;
  /** Null: from now on. */
  readonly effectiveAt: Date | null;
  readonly expiresAt: Date | null;
}

/** A new grant; `entries` names it. */
export function grantCredits(
  sql: Sql,
  by: Operator,
  wanted: WantedGrant,
  idempotencyKey: string | null,
): Promise<Answer<Acted>> {
  const { account, amount, category, priority, effectiveAt, expiresAt } = wanted;
  const request = {
    amount: String(amount),
    category,
    priority,
    effective_at: effectiveAt?.toISOString() ?? null,
    expires_at: expiresAt?.toISOString() ?? null,
  };
  return act(sql, by, { account, kind: "grant", idempotencyKey, request }, async (tx, at) => {
    const starts = effectiveAt ?? at;
    if (expiresAt !== null && expiresAt < starts) {
      return refuse({ code: "invalid_value", param: "expires_at", message: "A grant ends after it starts." });
    }
    const terms = { account, amount, category, priority, effectiveAt: starts, expiresAt, at };
    return { ok: true, value: { postings: [issue("funded", await insertGrant(tx, { id: null, ...terms }), amount)] } };
  });
}

/** Ends a grant early: what is free is voided now, what holds have pinned when they give it back. */
export async function voidGrant(
  sql: Sql,
  by: Operator,
  grant: string,
  reason: string,
  idempotencyKey: string | null,
): Promise<Answer<Acted>> {
  const found = await findGrant(sql, grant);
  if (found === null) return refuse({ code: "not_found", message: "No such grant." });
  const account = found.accountId;
  return act(sql, by, { account, kind: "void", idempotencyKey, request: { grant, reason } }, async (tx, at) => {
    const record = await grantRecord(tx, account, grant);
    if (record === null) return refuse({ code: "not_found", message: "No such grant." });
    const ended = endOf(record, at);
    if (ended !== null) return refuse({ code: "grant_ended", message: `The grant has ${ended} already.` });
    return { ok: true, value: { postings: end("voided", record), ends: { grant, how: "voided" } } };
  });
}

/** More: a grant that never ends. Less: taken from what can be spent, in burn order, all or nothing. */
export function adjust(
  sql: Sql,
  by: Operator,
  account: AccountId,
  amount: MilliCredits,
  reason: string,
  idempotencyKey: string | null,
): Promise<Answer<Acted>> {
  const request = { amount: String(amount), reason };
  return act(sql, by, { account, kind: "adjust", idempotencyKey, request }, async (tx, at) => {
    if (amount === 0n) return refuse({ code: "invalid_value", param: "amount", message: "Zero changes nothing." });
    if (amount > 0n) {
      const terms = { id: null, account, amount, ...ADJUSTMENT, effectiveAt: at, expiresAt: null, at };
      return { ok: true, value: { postings: [issue("adjusted", await insertGrant(tx, terms), amount)] } };
    }
    const grants = await freeGrants(tx, account);
    const postings = deduct(grants, 0n - amount, at);
    return postings === null
      ? refuse(tooLittle(0n - amount, spendableOf(grants, at)))
      : { ok: true, value: { postings } };
  });
}

/** Gives all that a video was charged back to the grants that paid; a part of a grant that has ended ends at once. */
export async function refundVideo(
  sql: Sql,
  by: Operator,
  job: VideoId,
  reason: string,
  idempotencyKey: string | null,
): Promise<Answer<Acted>> {
  const account = await findVideoOwner(sql, job);
  if (account === null) return refuse({ code: "video_not_found", message: "No such video." });
  return act(sql, by, { account, kind: "refund", idempotencyKey, request: { video: job, reason } }, async (tx, at) => {
    const lots = await capturedLots(tx, job);
    if (lots.length === 0) return refuse({ code: "invalid_value", message: "There is nothing to refund." });
    await markRefunded(tx, job);
    const postings = lots.map(({ grant, amount }) => refund(grant, amount, at));
    const amount = creditsText(postings.reduce((sum, posting) => sum + posting.amount, 0n));
    return { ok: true, value: { job, postings, tell: { type: "credits.refunded", data: { video_id: job, amount } } } };
  });
}

interface Deed {
  readonly postings: readonly Posting[];
  readonly job?: VideoId;
  readonly ends?: { readonly grant: string; readonly how: "voided" };
  /** The account hears of it. */
  readonly tell?: Happening;
}

function act(
  sql: Sql,
  by: Operator,
  wanted: NewAct,
  decide: (tx: Transaction, at: Date) => Promise<Answer<Deed>>,
): Promise<Answer<Acted>> {
  return inTransaction(sql, async (tx) => {
    const [at, before] = await Promise.all([lockLedger(tx, wanted.account), actOfKey(tx, wanted)]);
    if (at === null) return refuse({ ...NO_ACCOUNT, param: "account_id" });
    if (before !== null) {
      return before.same
        ? {
            ok: true,
            value: await actedOf(tx, { account: wanted.account, act: before.id, at: before.at, repeated: true }),
          }
        : refuse(IDEMPOTENCY_KEY_REUSED);
    }
    const deed = await decide(tx, at);
    if (!deed.ok) return deed;
    const id = await insertAct(tx, wanted, at);
    const { postings, tell, ...occasion } = deed.value;
    await post(tx, { account: wanted.account, at, act: id, ...occasion }, postings);
    if (tell !== undefined) await appendEvent(tx, { account: wanted.account, ...tell });
    await record(tx, by, auditOf(wanted, id));
    return { ok: true, value: await actedOf(tx, { account: wanted.account, act: id, at, repeated: false }) };
  });
}

function auditOf({ account, kind, request, idempotencyKey }: NewAct, act: bigint) {
  const changes = { ...request, act: `act_${act}`, idempotency_key: idempotencyKey };
  return { act: `credits.${kind}`, target: account, changes };
}

async function actedOf(tx: Transaction, done: Pick<Acted, "account" | "act" | "at" | "repeated">): Promise<Acted> {
  const entries = (await entriesOfAct(tx, done.act)).map(({ grantId, amount }) => ({ grantId, amount }));
  return { ...done, entries, amount: milliCredits(entries.reduce((sum, { amount }) => sum + amount, 0n)) };
}

function tooLittle(wanted: bigint, spendable: bigint): Refusal {
  const [required, available] = [creditsText(wanted), creditsText(spendable)];
  return {
    code: "insufficient_credits",
    message: `${required} credits were to be taken; ${available} can be spent.`,
    numbers: { required, available },
  };
}
