/** `/v1/videos` and one video: list, read, delete, cancel; creates are in `create-video.ts`. */
import { refusalOf } from "#protocol/error.ts";
import { VideoId } from "#protocol/id.ts";
import { ListQuery } from "#protocol/video.ts";
import { passThrough, refuse } from "../answer.ts";
import type { EdgeApp, EdgeContext } from "../app.ts";
import { callControlPlane } from "../control-plane-call.ts";
import { answerVideo } from "../answer-video.ts";
import { authorized } from "./authorized.ts";
import { createVideo } from "./create-video.ts";
import { VIDEO_NOT_FOUND } from "../refusals.ts";
import { methodNotAllowed } from "./refused.ts";

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
  if (!id.success) return refuse(c, VIDEO_NOT_FOUND);
  const path = `/edge/v1/videos/${id.data}${tail}`;
  // A delete whose answer was lost may then answer 404: the video is gone, which is what was asked for.
  const call = { method, path, account: c.get("caller").account, repeatable: true } as const;
  const answer = await callControlPlane({ ...call, requestId: c.get("requestId") }, c.get("config"));
  return method === "DELETE" ? passThrough(c, answer) : answerVideo(c, answer);
}

/** An id that cannot be one is unknown like any other: the control plane's very words. */
