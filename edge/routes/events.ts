/** `GET /v1/videos/events`: a live session. The key is checked by the object before the 101. */
import { EVENTS_SUBPROTOCOL } from "#protocol/event.ts";
import { z } from "zod";
import { refuse } from "../answer.ts";
import type { EdgeApp, EdgeContext } from "../app.ts";
import { OpenSocket } from "../session/open-socket.ts";
import { identify } from "./authorized.ts";
import { methodNotAllowed } from "./refused.ts";

const StartingAfter = z
  .string()
  .regex(/^\d{1,15}$/)
  .transform(Number)
  .nullable();

export function addEventsRoute(app: EdgeApp): void {
  app.get("/v1/videos/events", openSession);
  app.all("/v1/videos/events", methodNotAllowed("GET"));
}

async function openSession(c: EdgeContext): Promise<Response> {
  if (c.req.header("upgrade")?.toLowerCase() !== "websocket") {
    const answer = refuse(c, { code: "upgrade_required", message: "This address speaks WebSocket only." });
    answer.headers.set("upgrade", "websocket");
    return answer;
  }
  const read = await identify(c);
  if (!read.ok) return refuse(c, read.refusal);
  const startingAfter = StartingAfter.safeParse(c.req.query("starting_after") ?? null);
  if (!startingAfter.success) {
    const message = "Invalid 'starting_after': must be a sequence number.";
    return refuse(c, { code: "invalid_value", message, param: "starting_after" });
  }
  const offered = (c.req.header("sec-websocket-protocol") ?? "").split(",").map((name) => name.trim());
  const open: OpenSocket = {
    ...read.caller,
    requestId: c.get("requestId"),
    startingAfter: startingAfter.data,
    wantsSubprotocol: offered.includes(EVENTS_SUBPROTOCOL),
  };
  const answer = await c.env.ACCOUNT_SESSION.getByName(read.caller.account).fetch(OpenSocket.toRequest(open));
  // A fetched answer is read-only, and a refusal still gets its headers; a 101 must stay the very object it is.
  return answer.status === 101 ? answer : new Response(answer.body, answer);
}
