/**
 * The one way from the edge to the control plane: a signed call that survives a replica that dies or restarts.
 *
 * Promises: every try carries a fresh timestamp and nonce (the control plane keeps nonces); tries, pauses and time are
 * bounded (`core/retry.ts`); a replica that is away is left alone but for probes (`core/breaker.ts`), one that sheds load is
 * sent little more than it takes (`core/throttle.ts`); an answer is returned as it came, a call without any answer throws
 * `ControlPlaneUnreachable`.
 */
import { type ErrorCode, renderRefusal } from "#protocol/error.ts";
import type { AccountId, RequestId } from "#protocol/id.ts";
import { DEADLINE_HEADER, laneOf, SHED_HEADER } from "#protocol/lane.ts";
import { signCall } from "#protocol/signed-call.ts";
import type { Outcome } from "./core/breaker.ts";
import {
  earn,
  type Failure,
  FULL_BUDGET,
  lookMs,
  mayRetry,
  pauseMs,
  spend,
  TRY_FOR_MS,
  TURNS_MAX,
} from "./core/retry.ts";
import type { Config } from "./env.ts";
import { goOn } from "./in-hand.ts";
import { mintRequestId } from "./random-id.ts";
import { SHED } from "./refusals.ts";
import { choose, Replica } from "./replica.ts";

/** How long one try may take until its answer is there (streams: until its headers are). */
const TRY_MS = 5_000;
/** An answer that took longer counts against the replica as if it had not come. */
const SLOW_MS = 2_500;
/** Of one isolate; who comes when so many wait is refused at once. */
const WAITING_MAX = 256;
/** Of a signature. What customers may not do is said in other ways. */
const UNSIGNED: ReadonlySet<number> = new Set([401, 403]);
/** A proxy in between could not connect. */
const NOBODY_THERE: ReadonlySet<number> = new Set([502, 504, 521, 522, 523, 524]);
const UNAVAILABLE = `"control_plane_unavailable"` satisfies `"${ErrorCode}"`;
const NO_BODY = new Uint8Array(0);

export interface ControlPlaneCall {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** With its query. */
  readonly path: string;
  readonly account: AccountId;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** The nonce of the first try, so that both sides log the same id. */
  readonly requestId?: RequestId;
  /** Running it twice does no harm. */
  readonly repeatable: boolean;
  /** The answer's body is handed on as it arrives, not read within the try. */
  readonly streams?: boolean;
}

export class ControlPlaneUnreachable extends Error {
  override readonly name = "ControlPlaneUnreachable";
}

/** What this isolate knows of the replicas, by their origins: settings do not change while it lives, but tests have several. */
const known = new Map<string, Replica>();
/** The replica that answered last. Only a hint: each isolate finds a living one by itself. */
let preferred = 0;
let budget = FULL_BUDGET;
/** Calls that wait for a doubted replica. */
let waiting = 0;

export function callControlPlane(call: ControlPlaneCall, config: Config): Promise<Response> {
  const kind = laneOf(call.method, call.path) === "submit" ? "create" : "other";
  return goOn(kind, call.account, () => callInHand(call, config));
}

/** Calls that wait for a replica to come back, and cost nothing. */
export function callsWaiting(): number {
  return waiting;
}

/** Of work that has a place in hand already. */
export async function callInHand(call: ControlPlaneCall, config: Config): Promise<Response> {
  const body = call.body === undefined ? NO_BODY : encode(JSON.stringify(call.body));
  const until = Date.now() + TRY_FOR_MS;
  const lane = laneOf(call.method, call.path);
  const replicas = config.controlPlanes.map((origin) => known.getOrInsertComputed(origin, () => new Replica(origin)));
  budget = earn(budget);
  let tried: Failed | null = null;
  for (let [turn, made] = [0, 0]; turn < TURNS_MAX && Date.now() < until; turn++) {
    const choice = choose(replicas, preferred, lane, { nowMs: Date.now(), chance: Math.random() });
    if (choice.kind === "shed") return renderRefusal(SHED, call.requestId ?? mintRequestId());
    if (choice.kind === "refuse") break;
    if (choice.kind === "wait") {
      if (waiting >= WAITING_MAX) break;
      await waitWithOthers(lookMs(Math.random()));
      continue;
    }
    const { replica, index } = choice;
    const requestId = made === 0 && call.requestId !== undefined ? call.requestId : mintRequestId();
    const tryMs = Math.min(TRY_MS, until - Date.now());
    const now = await tryOnce(call, new URL(call.path, replica.origin), body, requestId, config, tryMs);
    made++;
    replica.heard(lane, now.outcome, now.failure?.kind === "shed", Date.now());
    if (now.failure === null) return now.answer;
    tried = now;
    // Several calls may fail at once: only the first of them moves the hint on.
    if (preferred % replicas.length === index) preferred = index + 1;
    const left = mayRetry(now.failure, call.repeatable) ? spend(budget, now.failure) : null;
    if (left === null) break;
    budget = left;
    await scheduler.wait(pauseMs(made, replicas.length));
  }
  if (tried?.answer) return tried.answer;
  throw new ControlPlaneUnreachable(`${call.method} ${call.path} had no answer`, { cause: tried?.fault });
}

/** The same for who can do nothing with "not now": a 503 is no answer. */
export async function askControlPlane(call: ControlPlaneCall, config: Config): Promise<Response> {
  const answer = await callControlPlane(call, config);
  if (answer.status === 503) throw new ControlPlaneUnreachable(`${call.method} ${call.path} answered 503`);
  return answer;
}

async function waitWithOthers(ms: number): Promise<void> {
  waiting++;
  try {
    await scheduler.wait(ms);
  } finally {
    waiting--;
  }
}

interface Answered {
  readonly failure: null;
  readonly outcome: Outcome;
  readonly answer: Response;
}
interface Failed {
  readonly failure: Failure;
  readonly outcome: Outcome;
  readonly answer: Response | null;
  readonly fault: unknown;
}

async function tryOnce(
  call: ControlPlaneCall,
  url: URL,
  body: Uint8Array<ArrayBuffer>,
  requestId: RequestId,
  config: Config,
  tryMs: number,
): Promise<Answered | Failed> {
  const { method, account } = call;
  const signature = await signCall({ method, url, body, account, requestId }, config.signingSecret, Date.now());
  const headers = new Headers({ ...call.headers, ...signature, [DEADLINE_HEADER]: String(tryMs) });
  if (body.length > 0) headers.set("content-type", "application/json");
  const timeout = new AbortController();
  const timer = setTimeout(() => timeout.abort(new Error(`no answer within ${tryMs} ms`)), tryMs);
  const startedMs = Date.now();
  try {
    const init = { method, headers, signal: timeout.signal, redirect: "manual" } as const;
    const answer = await fetch(url, body.length > 0 ? { ...init, body } : init);
    const whole = call.streams === true && answer.ok ? answer : await readWhole(answer);
    return await judged(whole, account, Date.now() - startedMs);
  } catch (fault) {
    const late = timeout.signal.aborted;
    const outcome: Outcome = late ? { kind: "late", account } : { kind: "failed" };
    return { failure: { kind: late ? "late" : "unreached" }, outcome, answer: null, fault };
  } finally {
    clearTimeout(timer);
  }
}

/** A refusal is a sound answer; of our signature it is none, nor is a 503 that says that nothing works, or a gateway that found nobody. */
async function judged(answer: Response, account: AccountId, tookMs: number): Promise<Answered | Failed> {
  const { status } = answer;
  const timely: Outcome = tookMs > SLOW_MS ? { kind: "late", account } : { kind: "sound" };
  if (UNSIGNED.has(status)) {
    const fault = new Error(`a signature of ours was refused: ${status} ${await answer.text()}`);
    return { failure: { kind: "unsigned" }, outcome: { kind: "failed" }, answer: null, fault };
  }
  if (NOBODY_THERE.has(status)) return { failure: null, outcome: { kind: "failed" }, answer };
  if (status !== 503) return { failure: null, outcome: timely, answer };
  if (answer.headers.has(SHED_HEADER)) return { failure: { kind: "shed" }, outcome: timely, answer, fault: null };
  const outcome: Outcome = (await answer.clone().text()).includes(UNAVAILABLE) ? { kind: "failed" } : timely;
  return { failure: { kind: "answered", status }, outcome, answer, fault: null };
}

/** Not copied, although the types leave open what buffer the bytes live in: a create may hold 28 MB. */
function encode(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text) as Uint8Array<ArrayBuffer>;
}

/** An answer that breaks off half-way is no answer: it is read while the try can still be repeated. */
async function readWhole(answer: Response): Promise<Response> {
  const bytes = await answer.arrayBuffer();
  return new Response(bytes.byteLength === 0 ? null : bytes, { status: answer.status, headers: answer.headers });
}
