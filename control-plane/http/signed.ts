/** Lets only signed calls of the edge through; the handler finds who calls, for whom, and the verified bytes. */
import { createMiddleware } from "hono/factory";
import { renderRefusal } from "#protocol/error.ts";
import type { AccountId, RequestId } from "#protocol/id.ts";
import { verifyCall } from "#protocol/signed-call.ts";

/** A 20 MiB reference as base64, and the fields around it. */
export const EDGE_BODY_BYTES_MAX = 28 * 1024 * 1024;

export interface SignedVariables {
  readonly account: AccountId;
  readonly requestId: RequestId;
  readonly body: Uint8Array<ArrayBuffer>;
}

export function signed(secret: string, now: () => number) {
  return createMiddleware<{ Variables: SignedVariables }>(async (c, next) => {
    const { method, headers } = c.req.raw;
    const body = await wholeBody(c.req.raw);
    if (body === null) {
      return renderRefusal({ code: "invalid_body", message: "The body broke off." }, headers.get("x-request-id") ?? "");
    }
    const verdict = await verifyCall({ method, url: new URL(c.req.url), headers, body }, secret, now());
    if (!verdict.ok) {
      const message = `The call is not signed by an edge of this control plane (${verdict.reason}); server time ${new Date(now()).toISOString()}.`;
      return renderRefusal({ code: "invalid_api_key", message }, headers.get("x-request-id") ?? "");
    }
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
