/** `/v1/videos` and one video: create, list, read, delete, cancel. */
import type { SubmitVideo } from "#protocol/edge-call.ts";
import { refusalOf } from "#protocol/error.ts";
import { VideoId } from "#protocol/id.ts";
import { ListQuery, VideoStatus } from "#protocol/video.ts";
import { passThrough, refuse } from "../answer.ts";
import type { EdgeApp, EdgeContext } from "../app.ts";
import { callControlPlane } from "../control-plane-call.ts";
import { readCreateVideo } from "../create-body.ts";
import { fullQueueOf, learnFullQueue } from "../full-queues.ts";
import { discardBytes } from "../read-bytes.ts";
import { admitCreate, authorized } from "./authorized.ts";
import { methodNotAllowed } from "./refused.ts";

/** What the SDKs' polling helpers wait between two reads of an active video. */
const POLL_AFTER_MS = 1_000;

export function addVideoRoutes(app: EdgeApp): void {
  app.post("/v1/videos", createVideo);
  app.get("/v1/videos", authorized(listVideos));
  app.all("/v1/videos", methodNotAllowed("GET, POST"));
  app.get(
    "/v1/videos/:id",
    authorized((c) => forward(c, "GET", "")),
  );
  app.delete(
    "/v1/videos/:id",
    authorized((c) => forward(c, "DELETE", "")),
  );
  app.all("/v1/videos/:id", methodNotAllowed("GET, DELETE"));
  app.post(
    "/v1/videos/:id/cancel",
    authorized((c) => forward(c, "POST", "/cancel")),
  );
  app.all("/v1/videos/:id/cancel", methodNotAllowed("POST"));
}

async function createVideo(c: EdgeContext): Promise<Response> {
  const request = c.req.raw;
  const admitted = await admitCreate(c);
  if (admitted.refusal !== null) {
    await discardBytes(request.body);
    return refuse(c, admitted.refusal);
  }
  const { account } = c.get("caller");
  const full = fullQueueOf(account, Date.now());
  if (full !== null) {
    await discardBytes(request.body);
    return refuse(c, full);
  }
  const read = await readCreateVideo(request);
  if (!read.ok) {
    if (!request.bodyUsed || read.refusal.code === "file_too_large") await discardBytes(request.body);
    return refuse(c, read.refusal);
  }
  const body: SubmitVideo = { create_key: admitted.createKey, video: read.value };
  // Repeatable because of its `create_key`: the control plane answers a second one with the first one's video.
  const call = { method: "POST", path: "/edge/v1/videos", account, body, repeatable: true } as const;
  const answer = await callControlPlane({ ...call, requestId: c.get("requestId") }, c.get("config"));
  await learnFullQueue(account, answer, Date.now());
  return withPollHint(c, answer);
}

async function listVideos(c: EdgeContext): Promise<Response> {
  const query = ListQuery.safeParse(c.req.query());
  if (!query.success) return refuse(c, refusalOf(query.error));
  const { limit, order, after } = query.data;
  const path = `/edge/v1/videos?limit=${limit}&order=${order}${after === undefined ? "" : `&after=${after}`}`;
  const call = { method: "GET", path, account: c.get("caller").account, repeatable: true } as const;
  return passThrough(c, await callControlPlane({ ...call, requestId: c.get("requestId") }, c.get("config")));
}

async function forward(c: EdgeContext, method: "GET" | "POST" | "DELETE", tail: "" | "/cancel"): Promise<Response> {
  const id = VideoId.safeParse(c.req.param("id"));
  if (!id.success) return videoNotFound(c);
  const path = `/edge/v1/videos/${id.data}${tail}`;
  // A delete whose answer was lost may then answer 404: the video is gone, which is what was asked for.
  const call = { method, path, account: c.get("caller").account, repeatable: true } as const;
  const answer = await callControlPlane({ ...call, requestId: c.get("requestId") }, c.get("config"));
  return method === "DELETE" ? passThrough(c, answer) : withPollHint(c, answer);
}

/** An id that cannot be one is unknown like any other: the control plane's very words. */
export function videoNotFound(c: EdgeContext): Response {
  return refuse(c, { code: "video_not_found", message: "No such video." });
}

async function withPollHint(c: EdgeContext, answer: Response): Promise<Response> {
  if (!answer.ok) return passThrough(c, answer);
  const body = await answer.text();
  const status = VideoStatus.safeParse((JSON.parse(body) as { status?: unknown }).status);
  const passed = await passThrough(c, new Response(body, { status: answer.status, headers: answer.headers }));
  if (status.data === "queued" || status.data === "in_progress") {
    passed.headers.set("openai-poll-after-ms", String(POLL_AFTER_MS));
  }
  return passed;
}
