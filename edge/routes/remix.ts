/** `POST /v1/videos/{id}/remix`: a create that takes everything but its prompt from a completed video. JSON only, as the SDKs send it. */
import { RemixVideo } from "#protocol/create-video.ts";
import type { SubmitRemix } from "#protocol/edge-call.ts";
import { refusalOf } from "#protocol/error.ts";
import { VideoId } from "#protocol/id.ts";
import { refuse } from "../answer.ts";
import type { EdgeApp, EdgeContext } from "../app.ts";
import { callControlPlane } from "../control-plane-call.ts";
import { readJson } from "../create-body.ts";
import { discardBytes } from "../read-bytes.ts";
import { admitCreate } from "./authorized.ts";
import { methodNotAllowed } from "./refused.ts";
import { videoNotFound, withPollHint } from "./videos.ts";

/** A prompt of its longest, each character escaped, and the small fields beside it. */
const BODY_BYTES_MAX = 512 * 1024;

export function addRemixRoute(app: EdgeApp): void {
  app.post("/v1/videos/:id/remix", remix);
  app.all("/v1/videos/:id/remix", methodNotAllowed("POST"));
}

async function remix(c: EdgeContext): Promise<Response> {
  const request = c.req.raw;
  const admitted = await admitCreate(c);
  if (admitted.refusal !== null) {
    await discardBytes(request.body);
    return refuse(c, admitted.refusal);
  }
  const read = await readJson(request, BODY_BYTES_MAX);
  if (!read.ok) {
    if (!request.bodyUsed || read.refusal.code === "file_too_large") await discardBytes(request.body);
    return refuse(c, read.refusal);
  }
  const source = VideoId.safeParse(c.req.param("id"));
  if (!source.success) return videoNotFound(c);
  const wanted = RemixVideo.safeParse(read.value);
  if (!wanted.success) return refuse(c, refusalOf(wanted.error));
  const body: SubmitRemix = { create_key: admitted.createKey, remix: wanted.data };
  const { account } = c.get("caller");
  const path = `/edge/v1/videos/${source.data}/remix`;
  // Repeatable because of its `create_key`, as a create is.
  const call = { method: "POST", path, account, body, repeatable: true } as const;
  return withPollHint(c, await callControlPlane({ ...call, requestId: c.get("requestId") }, c.get("config")));
}
