/** What the control plane answered → what the client gets: unchanged, but for headers that are none of its business. */
import { ErrorEnvelope, type Refusal, renderRefusal } from "#protocol/error.ts";
import { IDEMPOTENCY_REPLAYED_HEADER } from "#protocol/idempotency.ts";
import type { EdgeContext } from "./app.ts";
import { logFault } from "./log.ts";
import { UNREACHABLE } from "./refusals.ts";

const PASSED_HEADERS = [
  "content-type",
  "content-length",
  "content-range",
  "content-disposition",
  "accept-ranges",
  "etag",
  "last-modified",
  "cache-control",
  "location",
  "retry-after",
  "retry-after-ms",
  "x-should-retry",
  IDEMPOTENCY_REPLAYED_HEADER,
] as const;

export function refuse(c: EdgeContext, refusal: Refusal): Response {
  return renderRefusal(refusal, c.get("requestId"));
}

/** Success and refusals pass; what is no answer of the public API is our fault, never the client's. */
export async function passThrough(c: EdgeContext, answer: Response): Promise<Response> {
  if (answer.status === 401 || answer.status === 403) {
    throw new Error(`the control plane refused a signed call with ${answer.status}`);
  }
  const headers = passedHeaders(answer);
  headers.set("x-request-id", c.get("requestId"));
  if (answer.status < 400) return new Response(answer.body, { status: answer.status, headers });
  const body = await answer.text();
  if (isEnvelope(body)) return new Response(body, { status: answer.status, headers });
  logFault("The control plane gave an answer without an envelope", new Error(`status ${answer.status}`), {
    request_id: c.get("requestId"),
  });
  return refuse(c, UNREACHABLE);
}

function passedHeaders(answer: Response): Headers {
  const headers = new Headers();
  for (const name of PASSED_HEADERS) {
    const value = answer.headers.get(name);
    if (value !== null) headers.set(name, value);
  }
  return headers;
}

function isEnvelope(body: string): boolean {
  try {
    return ErrorEnvelope.safeParse(JSON.parse(body)).success;
  } catch {
    return false; // Not JSON: a proxy in between, or a crash.
  }
}
