/**
 * The one way from the edge to the control plane: a signed call that survives a replica that dies or restarts.
 *
 * Promises: every try carries a fresh timestamp and nonce (the control plane keeps nonces); tries, pauses and time are
 * bounded (`core/retry.ts`); an answer is returned as it came, a call without any answer throws
 * `ControlPlaneUnreachable`.
 */
import type { AccountId, RequestId } from "#protocol/id.ts";
import { signCall } from "#protocol/signed-call.ts";
import { mayRetry, pauseMs, TRIES_MAX, TRY_FOR_MS } from "./core/retry.ts";
import type { Config } from "./env.ts";
import { mintRequestId } from "./random-id.ts";

/** How long one try may take until its answer is there (streams: until its headers are). */
const TRY_MS = 5_000;
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

/** The replica that answered last. Only a hint: each isolate finds a living one by itself. */
let preferred = 0;

export async function callControlPlane(call: ControlPlaneCall, config: Config): Promise<Response> {
  const body = call.body === undefined ? NO_BODY : encode(JSON.stringify(call.body));
  const until = Date.now() + TRY_FOR_MS;
  const replicas = config.controlPlanes.length;
  for (let made = 0; ; made++) {
    const turn = preferred;
    const url = new URL(call.path, config.controlPlanes[turn % replicas]);
    const requestId = made === 0 && call.requestId !== undefined ? call.requestId : mintRequestId();
    const tried = await tryOnce(call, url, body, requestId, config, Math.min(TRY_MS, until - Date.now()));
    if (tried.failure === null) return tried.answer;
    // Several calls may fail at once: only the first of them moves the hint on.
    if (preferred === turn) preferred = (turn + 1) % replicas;
    const pause = pauseMs(made + 1, replicas);
    const again = mayRetry(tried.failure, call.repeatable) && made + 1 < TRIES_MAX && Date.now() + pause < until;
    if (again) {
      await tried.answer?.body?.cancel();
      await scheduler.wait(pause);
    } else if (tried.answer === null) {
      const what = `${call.method} ${call.path} had no answer after ${made + 1} tries`;
      throw new ControlPlaneUnreachable(what, { cause: tried.fault });
    } else return tried.answer;
  }
}

type Try =
  | { readonly failure: null; readonly answer: Response }
  | { readonly failure: { readonly kind: "answered"; readonly status: number }; readonly answer: Response }
  | { readonly failure: { readonly kind: "unreached" }; readonly answer: null; readonly fault: unknown };

async function tryOnce(
  call: ControlPlaneCall,
  url: URL,
  body: Uint8Array<ArrayBuffer>,
  requestId: RequestId,
  config: Config,
  tryMs: number,
): Promise<Try> {
  const signed = { method: call.method, url, body, account: call.account, requestId };
  const headers = new Headers({ ...call.headers, ...(await signCall(signed, config.signingSecret, Date.now())) });
  if (body.length > 0) headers.set("content-type", "application/json");
  const timeout = new AbortController();
  const timer = setTimeout(() => timeout.abort(new Error(`no answer within ${tryMs} ms`)), tryMs);
  try {
    const init = { method: call.method, headers, signal: timeout.signal, redirect: "manual" } as const;
    const answer = await fetch(url, body.length > 0 ? { ...init, body } : init);
    const whole = call.streams === true && answer.ok ? answer : await readWhole(answer);
    if (answer.status !== 503) return { failure: null, answer: whole };
    return { failure: { kind: "answered", status: answer.status }, answer: whole };
  } catch (fault) {
    return { failure: { kind: "unreached" }, answer: null, fault };
  } finally {
    clearTimeout(timer);
  }
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
