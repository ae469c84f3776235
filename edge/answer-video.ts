/**
 * A video for a client that will look again: after a wait, if it prefers one; with the time of its next look; and not at all,
 * if it has it already.
 */
import { z } from "zod";
import { sha256Hex } from "#protocol/api-key.ts";
import { Video } from "#protocol/video.ts";
import { passThrough } from "./answer.ts";
import type { EdgeContext } from "./app.ts";
import { callControlPlane, ControlPlaneUnreachable } from "./control-plane-call.ts";
import { isMatch, pollAfterMs, waitOf } from "./core/polling.ts";
import { isOver } from "./event-stream.ts";
import { waitForEnd } from "./wait-for-end.ts";

const ETAG_HEX_CHARS = 32;

const Shown = z.object({
  ...Video.pick({ id: true, status: true }).shape,
  scheduler: Video.shape.scheduler.pick({ eta: true }),
});
type Shown = z.infer<typeof Shown>;

export async function answerVideo(c: EdgeContext, answer: Response): Promise<Response> {
  if (!answer.ok) return passThrough(c, answer);
  let text = await answer.text();
  let video = Shown.parse(JSON.parse(text));
  const seconds = waitOf(c.req.header("prefer"));
  let isApplied = seconds !== null;
  if (seconds !== null && !isOver(video.status)) {
    isApplied = await waitForEnd(c, video.id, seconds);
    text = (await readAgain(c, video)) ?? text;
    video = Shown.parse(JSON.parse(text));
  }
  const passed = await passThrough(c, new Response(text, { status: answer.status, headers: answer.headers }));
  passed.headers.delete("content-length");
  if (isApplied) passed.headers.set("preference-applied", `wait=${seconds}`);
  if (!isOver(video.status)) passed.headers.set("openai-poll-after-ms", String(pollAfterMs(video.scheduler.eta)));
  return c.req.method === "GET" ? withEtag(c, passed, text) : passed;
}

/** null: it could not be read, or is gone; then the client gets what was true before the wait. */
async function readAgain(c: EdgeContext, { id }: Shown): Promise<string | null> {
  const { account } = c.get("caller");
  try {
    const call = { method: "GET", path: `/edge/v1/videos/${id}`, account, repeatable: true } as const;
    const answer = await callControlPlane(call, c.get("config"));
    return answer.ok ? await answer.text() : null;
  } catch (fault) {
    if (fault instanceof ControlPlaneUnreachable) return null;
    throw fault;
  }
}

async function withEtag(c: EdgeContext, passed: Response, text: string): Promise<Response> {
  const hash = await sha256Hex(new Uint8Array(new TextEncoder().encode(text)));
  const etag = `"${hash.slice(0, ETAG_HEX_CHARS)}"`;
  passed.headers.set("etag", etag);
  if (!isMatch(c.req.header("if-none-match"), etag)) return passed;
  const { headers } = passed;
  headers.delete("content-type");
  return new Response(null, { status: 304, headers });
}
