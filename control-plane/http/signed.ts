/**
 * Lets only signed calls of the edge through; the handler finds who calls, for whom, and the verified bytes.
 *
 * A mutation comes through once: its nonce is claimed before the handler runs. Two calls claim it themselves or need none:
 * `SELF_CLAIMING` and `READS`.
 */
import { createMiddleware } from "hono/factory";
import { renderRefusal } from "#protocol/error.ts";
import type { Refusal } from "#protocol/error.ts";
import type { AccountId, RequestId } from "#protocol/id.ts";
import { verifyCall } from "#protocol/signed-call.ts";
import type { Verdict } from "#protocol/signed-call.ts";

/** A 20 MiB reference as base64, and the fields around it. */
export const EDGE_BODY_BYTES_MAX = 28 * 1024 * 1024;

export interface SignedVariables {
  readonly account: AccountId;
  readonly requestId: RequestId;
  readonly body: Uint8Array<ArrayBuffer>;
}

export interface SignedHost {
  readonly secrets: readonly string[];
  readonly now: () => number;
  /** False if the call was made before. */
  readonly claim: (requestId: RequestId) => Promise<boolean>;
}

/** The submit's statement claims the nonce with everything else that it writes. */
const SELF_CLAIMING = /^POST \/edge\/v1\/videos(\/[^/]+\/(remix|promote))?$/;
/** They have a body and change nothing. */
const READS: ReadonlySet<string> = new Set([
  "POST /edge/v1/keys/check",
  "POST /edge/v1/snapshot",
  "POST /edge/v1/videos/estimate",
  "POST /peer/v1/explain",
]);
const REPLAYED: Refusal = { code: "invalid_value", param: "x-request-id", message: "This call was made before." };

export function signed({ secrets, now, claim }: SignedHost) {
  return createMiddleware<{ Variables: SignedVariables }>(async (c, next) => {
    const { method, headers } = c.req.raw;
    const body = await wholeBody(c.req.raw);
    if (body === null) {
      return renderRefusal({ code: "invalid_body", message: "The body broke off." }, headers.get("x-request-id") ?? "");
    }
    const verdict = await verifyCall({ method, url: new URL(c.req.url), headers, body }, secrets, now());
    if (!verdict.ok) return renderRefusal(refusalOf(verdict.reason, now()), headers.get("x-request-id") ?? "");
    const call = `${method} ${c.req.path}`;
    const mutates = method !== "GET" && method !== "HEAD" && !READS.has(call) && !SELF_CLAIMING.test(call);
    if (mutates && !(await claim(verdict.requestId))) return renderRefusal(REPLAYED, verdict.requestId);
    c.set("account", verdict.account);
    c.set("requestId", verdict.requestId);
    c.set("body", body);
    return next();
  });
}

/** null: the caller hung up. That is no fault of ours, and above all none of the database, whose lost connections look the same. */
async function wholeBody(request: Request): Promise<Uint8Array<ArrayBuffer> | null> {
  try {
    return new Uint8Array(await request.arrayBuffer());
  } catch {
    return null;
  }
}

/** The JSON of a verified body; a fault of ours if it does not parse, because only the edge can have sent it. */
export function jsonOf(body: Uint8Array<ArrayBuffer>): unknown {
  return JSON.parse(new TextDecoder().decode(body));
}

function refusalOf(reason: Extract<Verdict, { ok: false }>["reason"], nowMs: number): Refusal {
  const message = `The call is not signed by an edge of this control plane (${reason}).`;
  if (reason !== "clock_skew") return { code: "invalid_api_key", message };
  return { code: "clock_skew", message, numbers: { server_time_ms: nowMs } };
}
