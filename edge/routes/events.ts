/**
 * `GET /v1/videos/events` and `GET /v1/videos/{id}/events`: live sessions, as WebSocket or as server-sent events. Key or ticket
 * are checked by the object before anything is answered.
 */
import { z } from "zod";
import type { Refusal } from "#protocol/error.ts";
import { VideoId } from "#protocol/id.ts";
import { EVENTS_SUBPROTOCOL } from "#protocol/live-session.ts";
import { refuse } from "../answer.ts";
import type { EdgeApp, EdgeContext } from "../app.ts";
import { readOpener } from "../caller.ts";
import { sseOf } from "../core/server-sent-event.ts";
import { endedStream, eventStream, isEndOf, isOver } from "../event-stream.ts";
import { InnerSession } from "../inner-session.ts";
import { UNREACHABLE, VIDEO_NOT_FOUND } from "../refusals.ts";
import { OpenSession } from "../session/open-session.ts";
import { identify, shielded } from "./authorized.ts";
import { methodNotAllowed } from "./refused.ts";

/** How long the object may take to say where a video stands; the calls behind it are bounded by less. */
const FIRST_FRAMES_MS = 10_000;

const StartingAfter = z
  .string()
  .regex(/^\d{1,15}$/)
  .transform(Number)
  .nullable();

const BAD_CURSOR: Refusal = {
  code: "invalid_value",
  message: "Invalid 'starting_after': must be a sequence number.",
  param: "starting_after",
};

export function addEventsRoutes(app: EdgeApp): void {
  app.get("/v1/videos/events", accountEvents);
  app.all("/v1/videos/events", methodNotAllowed("GET"));
  app.get("/v1/videos/:id/events", videoEvents);
  app.all("/v1/videos/:id/events", methodNotAllowed("GET"));
}

async function accountEvents(c: EdgeContext): Promise<Response> {
  if (c.req.header("upgrade")?.toLowerCase() === "websocket") return openSocket(c);
  if (!acceptsEventStream(c)) {
    const message = "This address speaks WebSocket, and server-sent events to who accepts text/event-stream.";
    const answer = refuse(c, { code: "upgrade_required", message });
    answer.headers.set("upgrade", "websocket");
    return answer;
  }
  const read = await identify(c);
  if (!read.ok) return refuse(c, read.refusal);
  const startingAfter = cursorOf(c);
  if (startingAfter === undefined) return refuse(c, BAD_CURSOR);
  const session = await InnerSession.open(c, read.caller, { videoIds: null, startingAfter });
  return session instanceof Response ? session : eventStream(session, "", { startingAfter, video: null });
}

async function openSocket(c: EdgeContext): Promise<Response> {
  const { headers } = c.req.raw;
  const offered = (c.req.header("sec-websocket-protocol") ?? "").split(",").map((name) => name.trim());
  const read = await shielded(c, await readOpener(headers, offered, c.get("config").allowedOrigins));
  if (!read.ok) return refuse(c, read.refusal);
  const startingAfter = StartingAfter.safeParse(c.req.query("starting_after") ?? null);
  if (!startingAfter.success) return refuse(c, BAD_CURSOR);
  const open: OpenSession = {
    ...read.opener,
    requestId: c.get("requestId"),
    startingAfter: startingAfter.data,
    videoIds: null,
    replaces: c.req.query("replaces") ?? null,
    wantsSubprotocol: offered.includes(EVENTS_SUBPROTOCOL),
  };
  const answer = await c.env.ACCOUNT_SESSION.getByName(open.account).fetch(OpenSession.toRequest(open));
  // A fetched answer is read-only, and a refusal still gets its headers; a 101 must stay the very object it is.
  return answer.status === 101 ? answer : new Response(answer.body, answer);
}

async function videoEvents(c: EdgeContext): Promise<Response> {
  const read = await identify(c);
  if (!read.ok) return refuse(c, read.refusal);
  const startingAfter = cursorOf(c);
  if (startingAfter === undefined) return refuse(c, BAD_CURSOR);
  const id = VideoId.safeParse(c.req.param("id"));
  if (!id.success) return refuse(c, VIDEO_NOT_FOUND);
  const session = await InnerSession.open(c, read.caller, { videoIds: [id.data], startingAfter });
  if (session instanceof Response) return session;
  const begun = await readBeginning(session, id.data, startingAfter);
  switch (begun.kind) {
    case "unknown":
      return refuse(c, VIDEO_NOT_FOUND);
    case "unreachable":
      return refuse(c, UNREACHABLE);
    case "nothing new":
      return new Response(null, { status: 204 });
    case "over":
      return endedStream(begun.text);
    case "goes on":
      return eventStream(session, begun.text, { startingAfter, video: id.data });
    default:
      return begun satisfies never;
  }
}

type Beginning =
  | { readonly kind: "unknown" | "unreachable" | "nothing new" }
  | { readonly kind: "over" | "goes on"; readonly text: string };

/**
 * Reads as far as must be known before a status can be answered: whether the video exists, and, if it has ended, whether
 * there is anything the reader has not heard. 204 tells an `EventSource` that came back to stay away.
 */
async function readBeginning(session: InnerSession, video: VideoId, startingAfter: number | null): Promise<Beginning> {
  let text = "";
  let hasEnded = false;
  let toldTheEnd = false;
  const over = (beginning: Beginning): Beginning => {
    session.close();
    return beginning;
  };
  for (;;) {
    const next = await session.next(FIRST_FRAMES_MS);
    if (next.kind !== "frame") return over({ kind: "unreachable" });
    const { frame } = next;
    text += sseOf(frame, next.text, startingAfter);
    if (frame.type === "snapshot") {
      const [standing] = frame.videos;
      if (standing === undefined) return over({ kind: "unknown" });
      hasEnded = isOver(standing.status);
      if (!hasEnded) return { kind: "goes on", text };
    }
    toldTheEnd ||= isEndOf(video, frame);
    if (frame.type === "caught_up") {
      return over(toldTheEnd || startingAfter === null ? { kind: "over", text } : { kind: "nothing new" });
    }
  }
}

function acceptsEventStream(c: EdgeContext): boolean {
  return c.req.header("accept")?.toLowerCase().includes("text/event-stream") ?? false;
}

/** A reader that comes back sends `Last-Event-ID`, which is newer than the address it began with; undefined if it is none. */
function cursorOf(c: EdgeContext): number | null | undefined {
  return StartingAfter.safeParse(c.req.header("last-event-id") ?? c.req.query("starting_after") ?? null).data;
}
