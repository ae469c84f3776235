/**
 * What `POST /v1/videos`, a remix and a promote do alike: key and rate by the headers, then the body, then the create slot, then the
 * control plane.
 *
 * Two calls of the account's object go before the control plane's, and one after it where a try may follow: a client that
 * numbers its tries, or that gave an `Idempotency-Key`. A client that hangs up does not stop what was begun, so that its
 * next try finds what came of it.
 */
import { hashOfKey } from "#protocol/api-key.ts";
import type { IdempotencyClaim } from "#protocol/edge-call.ts";
import { IDEMPOTENCY_KEY_HEADER, IDEMPOTENCY_REPLAYED_HEADER, readIdempotencyKey } from "#protocol/idempotency.ts";
import type { Refusal } from "#protocol/error.ts";
import type { CreateKey, Sha256Hex } from "#protocol/id.ts";
import { refuse } from "../answer.ts";
import { answerVideo } from "../answer-video.ts";
import type { EdgeContext } from "../app.ts";
import { callInHand } from "../control-plane-call.ts";
import { type Outcome, outcomeOf, retriesOf } from "../core/create-slots.ts";
import { rateRefusal } from "../core/rate-headers.ts";
import type { Read } from "../create-body.ts";
import { fullQueueOf, learnFullQueue } from "../full-queues.ts";
import { goOn } from "../in-hand.ts";
import { logFault } from "../log.ts";
import { discardBytes } from "../read-bytes.ts";
import type { CreateGuard } from "../session/call-desk.ts";
import { admitCreate, sessionOf } from "./authorized.ts";

/** Read even where the rate is used up, so that the try after the refusal is known for what it is. */
const REFUSED_BODY_BYTES_MAX = 256 * 1024;
const RETRY_COUNT_HEADER = "x-stainless-retry-count";

/** One kind of create: how its body is read, what makes two of them the same, and where it goes. */
export interface CreateKind<Wanted> {
  readonly bodyBytesMax: number;
  readonly read: (request: Request, maxBytes: number) => Promise<Read<Wanted>>;
  readonly fingerprintOf: (wanted: Wanted) => Promise<Sha256Hex>;
  /** At the control plane. */
  readonly path: string;
  /** What is sent there, beside create key and claim. */
  readonly bodyOf: (wanted: Wanted) => object;
}

/** How the tries of a create are known to be the same. */
interface Guarded {
  readonly guard: CreateGuard;
  readonly claim: IdempotencyClaim | undefined;
}

export async function guardedCreate<Wanted>(c: EdgeContext, kind: CreateKind<Wanted>): Promise<Response> {
  const request = c.req.raw;
  // 1. By its headers: a flood of bodies is refused unread.
  const admitted = await admitCreate(c);
  if (admitted.refusal !== null) {
    await discardBytes(request.body);
    return refuse(c, admitted.refusal);
  }
  // 2. Where it would be refused as the last one was, unread; but who asks again is told what came of the first try.
  const { account } = c.get("caller");
  const full = isFirstTry(request) ? fullQueueOf(account, Date.now()) : null;
  if (full !== null) {
    await discardBytes(request.body);
    return refuse(c, full);
  }
  // 3. What is asked.
  const read = await readWanted(c, kind, admitted.isExhausted ? REFUSED_BODY_BYTES_MAX : kind.bodyBytesMax);
  if (!read.ok) {
    const isLarge = read.refusal.code === "file_too_large";
    if (!request.bodyUsed || isLarge) await discardBytes(request.body);
    return refuse(c, (isLarge && admitted.isExhausted ? rateRefusalNow(c) : null) ?? read.refusal);
  }
  const made = await goOn("create", account, () => make(c, kind, read.value));
  if (made.refusal !== null) return refuse(c, made.refusal);
  const answer = await answerVideo(c, made.answer);
  if (made.isReplay && answer.ok) answer.headers.set(IDEMPOTENCY_REPLAYED_HEADER, "true");
  return answer;
}

type Made =
  | { readonly refusal: Refusal }
  | { readonly refusal: null; readonly answer: Response; readonly isReplay: boolean };

/** In hand as a whole: what waits for the account's object waits for its disk, on which all objects of a self-hosted edge write. */
async function make<Wanted>(
  c: EdgeContext,
  kind: CreateKind<Wanted>,
  { wanted, guard, claim }: Guarded & { readonly wanted: Wanted },
): Promise<Made> {
  // 4. Is it one of before, and is there one left of the rate?
  const { account, key } = c.get("caller");
  const opened = await sessionOf(c).openCreate(account, key, guard);
  if (opened.rates !== null) c.set("rates", opened.rates);
  if (opened.refusal !== null) return { refusal: opened.refusal };
  // 5. To its end, whether the client stays or not.
  const { createKey, isOpen, isReplay } = opened;
  const body = { create_key: createKey, ...kind.bodyOf(wanted), idempotency: claim };
  const made = submit(c, kind.path, body, isOpen ? guard.kind : null);
  c.executionCtx.waitUntil(made.catch(() => undefined)); // Who awaits it here gets the fault.
  return { refusal: null, answer: await made, isReplay };
}

function isFirstTry({ headers }: Request): boolean {
  return !headers.has(IDEMPOTENCY_KEY_HEADER) && (retriesOf(headers.get(RETRY_COUNT_HEADER)) ?? 0) === 0;
}

async function readWanted<Wanted>(
  c: EdgeContext,
  { read, fingerprintOf }: CreateKind<Wanted>,
  maxBytes: number,
): Promise<Read<Guarded & { readonly wanted: Wanted }>> {
  const request = c.req.raw;
  const header = request.headers.get(IDEMPOTENCY_KEY_HEADER);
  const key = header === null ? null : readIdempotencyKey(header);
  if (key?.ok === false) return key;
  const body = await read(request, maxBytes);
  if (!body.ok) return body;
  const wanted = body.value;
  if (key !== null) {
    // Of the route too: the same key may stand for a create and for a remix.
    const keySha256 = await hashOfKey(`${request.method} ${c.req.path}\n${key.key}`);
    const claim = { key_sha256: keySha256, fingerprint: await fingerprintOf(wanted) };
    return { ok: true, value: { wanted, guard: { kind: "key", keySha256 }, claim } };
  }
  const retries = retriesOf(request.headers.get(RETRY_COUNT_HEADER));
  if (retries === null) return { ok: true, value: { wanted, guard: { kind: "none" }, claim: undefined } };
  const fingerprint = await fingerprintOf(wanted);
  return { ok: true, value: { wanted, guard: { kind: "count", fingerprint, retries }, claim: undefined } };
}

/** Repeatable because of its `create_key`: the control plane answers a second one with the first one's video. */
async function submit(
  c: EdgeContext,
  path: string,
  body: { readonly create_key: CreateKey },
  guard: CreateGuard["kind"] | null,
): Promise<Response> {
  const { account } = c.get("caller");
  const call = { method: "POST", path, account, body, repeatable: true } as const;
  // Without an answer it may have been made or not: the same create key finds out.
  let outcome: Outcome = "again";
  try {
    const answer = await callInHand({ ...call, requestId: c.get("requestId") }, c.get("config"));
    outcome = outcomeOf(answer.status, answer.headers.get("x-should-retry"));
    await learnFullQueue(account, answer, Date.now());
    return answer;
  } finally {
    if (guard !== null) await settle(c, body.create_key, guard, outcome);
  }
}

/** A slot that was not settled is one left pending: its create key is sent again. No reason to fail what was made. */
async function settle(c: EdgeContext, createKey: CreateKey, guard: CreateGuard["kind"], outcome: Outcome) {
  try {
    await sessionOf(c).settleCreate(createKey, guard, outcome);
  } catch (fault) {
    logFault("A create slot was not settled", fault, { request_id: c.get("requestId") });
  }
}

/** The refusal that its headers already earned it. */
function rateRefusalNow(c: EdgeContext) {
  const rates = { ...c.get("rates"), charged: "create" } as const;
  const refused = { ...rates, retryAfterMs: rates.create.waitMs };
  c.set("rates", refused);
  return rateRefusal(refused);
}
