/** `POST /internal/v1/push`: the control plane brings an account's events. Idempotent by sequence number, so no nonce. */
import { Push } from "#protocol/edge-call.ts";
import { verifyCall } from "#protocol/signed-call.ts";
import { refuse } from "../answer.ts";
import type { EdgeApp, EdgeContext } from "../app.ts";
import { readBytes } from "../read-bytes.ts";
import { methodNotAllowed } from "./refused.ts";

const PUSH_BODY_BYTES_MAX = 4 * 1024 * 1024;

export function addPushRoute(app: EdgeApp): void {
  app.post("/internal/v1/push", receivePush);
  app.all("/internal/v1/push", methodNotAllowed("POST"));
}

async function receivePush(c: EdgeContext): Promise<Response> {
  const request = c.req.raw;
  const body = await readBytes(request.body, PUSH_BODY_BYTES_MAX);
  if (body === null) return refuse(c, { code: "file_too_large", message: "The push is too large." });
  const call = { method: request.method, url: new URL(request.url), headers: request.headers, body };
  const verdict = await verifyCall(call, c.get("config").signingSecrets, Date.now());
  if (!verdict.ok) {
    return refuse(c, { code: "invalid_api_key", message: `The signature was refused: ${verdict.reason}.` });
  }
  const push = Push.safeParse(parse(body));
  if (!push.success) return refuse(c, { code: "invalid_body", message: "The body is not a push." });
  const answer = await c.env.ACCOUNT_SESSION.getByName(verdict.account).push(verdict.account, push.data);
  return "refusal" in answer ? refuse(c, answer.refusal) : c.json(answer);
}

function parse(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(body));
  } catch {
    return null; // No push either.
  }
}
