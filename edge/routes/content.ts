/** `GET /v1/videos/{id}/content`: the MP4's bytes or its thumbnail's, streamed from the control plane; ranges are passed both ways. */
import { VideoId } from "#protocol/id.ts";
import { passThrough, refuse } from "../answer.ts";
import type { EdgeApp, EdgeContext } from "../app.ts";
import { callControlPlane } from "../control-plane-call.ts";
import { authorized } from "./authorized.ts";
import { methodNotAllowed } from "./refused.ts";
import { VIDEO_NOT_FOUND } from "../refusals.ts";

const ASKED_HEADERS = ["range", "if-range", "if-none-match"] as const;

export function addContentRoute(app: EdgeApp): void {
  app.get("/v1/videos/:id/content", authorized(streamContent));
  app.all("/v1/videos/:id/content", methodNotAllowed("GET"));
}

async function streamContent(c: EdgeContext): Promise<Response> {
  const variant = c.req.query("variant") ?? "video";
  if (variant === "spritesheet") {
    const message = "The variant 'spritesheet' is not available.";
    return refuse(c, { code: "unsupported_operation", message, param: "variant" });
  }
  if (variant !== "video" && variant !== "thumbnail") {
    const message = "Invalid 'variant': must be 'video' or 'thumbnail'.";
    return refuse(c, { code: "invalid_value", message, param: "variant" });
  }
  const id = VideoId.safeParse(c.req.param("id"));
  if (!id.success) return refuse(c, VIDEO_NOT_FOUND);
  const headers: Record<string, string> = {};
  for (const name of ASKED_HEADERS) {
    const value = c.req.header(name);
    if (value !== undefined) headers[name] = value;
  }
  const path = `/edge/v1/videos/${id.data}/content?variant=${variant}`;
  const call = {
    method: "GET",
    path,
    account: c.get("caller").account,
    headers,
    repeatable: true,
    streams: true,
  } as const;
  return passThrough(c, await callControlPlane({ ...call, requestId: c.get("requestId") }, c.get("config")));
}
