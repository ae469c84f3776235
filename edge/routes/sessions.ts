/** `POST /v1/sessions`: a ticket, with which a browser opens one live session instead of holding a key. */
import { hashOfKey } from "#protocol/api-key.ts";
import { refusalOf } from "#protocol/error.ts";
import { CreateSession, type SessionTicket } from "#protocol/live-session.ts";
import { refuse } from "../answer.ts";
import type { EdgeApp, EdgeContext } from "../app.ts";
import { readOptionalJson } from "../create-body.ts";
import { mintTicket } from "../random-id.ts";
import { authorized } from "./authorized.ts";
import { methodNotAllowed } from "./refused.ts";

const BODY_BYTES_MAX = 4 * 1024;

export function addSessionRoute(app: EdgeApp): void {
  app.post("/v1/sessions", authorized(createSession));
  app.all("/v1/sessions", methodNotAllowed("POST"));
}

async function createSession(c: EdgeContext): Promise<Response> {
  const read = await readOptionalJson(c.req.raw, BODY_BYTES_MAX);
  if (!read.ok) return refuse(c, read.refusal);
  const body = CreateSession.safeParse(read.value);
  if (!body.success) return refuse(c, refusalOf(body.error));
  const { account, key } = c.get("caller");
  const ticket = mintTicket(account);
  const kept = await c.env.ACCOUNT_SESSION.getByName(account).keepTicket(key, {
    ticket: await hashOfKey(ticket),
    origin: body.data.origin ?? null,
  });
  if (typeof kept !== "number") return refuse(c, kept);
  const answer: SessionTicket = { object: "session.ticket", ticket, expires_at: Math.floor(kept / 1_000) };
  const response = c.json(answer);
  response.headers.set("cache-control", "no-store");
  return response;
}
