/** An answer that is a video: while it is active, the SDKs' polling helpers are told when to ask again. */
import { VideoStatus } from "#protocol/video.ts";
import { passThrough } from "../answer.ts";
import type { EdgeContext } from "../app.ts";

/** What the SDKs' polling helpers wait between two reads of an active video. */
const POLL_AFTER_MS = 1_000;

export async function withPollHint(c: EdgeContext, answer: Response): Promise<Response> {
  if (!answer.ok) return passThrough(c, answer);
  const body = await answer.text();
  const status = VideoStatus.safeParse((JSON.parse(body) as { status?: unknown }).status);
  const passed = await passThrough(c, new Response(body, { status: answer.status, headers: answer.headers }));
  if (status.data === "queued" || status.data === "in_progress") {
    passed.headers.set("openai-poll-after-ms", String(POLL_AFTER_MS));
  }
  return passed;
}
