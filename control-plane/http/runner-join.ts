/** `POST /runner/v1/join`: a runner trades its join token for the acceptance of its secret. Any replica answers. */
import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import type { Sql } from "#control-plane/db/connect.ts";
import { joinRunner } from "#control-plane/usecase/runner-identity.ts";
import { refusalOf, renderRefusal } from "#protocol/error.ts";
import type { Refusal } from "#protocol/error.ts";
import { JoinRunner } from "#protocol/runner-identity.ts";
import { mintRequestId } from "./request-id.ts";

const JOIN_BODY_BYTES_MAX = 4 * 1024;
const TOO_LARGE: Refusal = { code: "file_too_large", message: "The body is too large." };
const NOT_JSON: Refusal = { code: "invalid_body", message: "The body is not JSON." };

export function runnerJoinRoutes(sql: Sql) {
  const limit = bodyLimit({ maxSize: JOIN_BODY_BYTES_MAX, onError: () => renderRefusal(TOO_LARGE, mintRequestId()) });
  return new Hono().post("/join", limit, async (c) => {
    const requestId = mintRequestId();
    const call = JoinRunner.safeParse(await c.req.json().catch(() => null));
    if (!call.success) {
      const [issue] = call.error.issues;
      return renderRefusal(issue?.path.length === 0 ? NOT_JSON : refusalOf(call.error), requestId);
    }
    const joined = await joinRunner(sql, requestId, call.data);
    return joined.ok ? c.json(joined.value) : renderRefusal(joined.refusal, requestId);
  });
}
