/** `POST /v1/videos/{id}/remix`: a create that takes everything but its prompt from a completed video. JSON only, as the SDKs send it. */
import { RemixVideo } from "#protocol/create-video.ts";
import { refusalOf } from "#protocol/error.ts";
import { VideoId } from "#protocol/id.ts";
import type { EdgeApp, EdgeContext } from "../app.ts";
import { type Read, readJson } from "../create-body.ts";
import { fingerprintOfFields } from "../create-fingerprint.ts";
import { VIDEO_NOT_FOUND } from "../refusals.ts";
import { guardedCreate } from "./guarded-create.ts";
import { methodNotAllowed } from "./refused.ts";

/** A prompt of its longest, each character escaped, and the small fields beside it. */
const BODY_BYTES_MAX = 512 * 1024;

export function addRemixRoute(app: EdgeApp): void {
  app.post("/v1/videos/:id/remix", remix);
  app.all("/v1/videos/:id/remix", methodNotAllowed("POST"));
}

async function remix(c: EdgeContext): Promise<Response> {
  const source = VideoId.safeParse(c.req.param("id"));
  return guardedCreate<RemixVideo>(c, {
    bodyBytesMax: BODY_BYTES_MAX,
    async read(request, maxBytes): Promise<Read<RemixVideo>> {
      const body = await readJson(request, maxBytes);
      if (!body.ok) return body;
      if (!source.success) return { ok: false, refusal: VIDEO_NOT_FOUND };
      const wanted = RemixVideo.safeParse(body.value);
      return wanted.success ? { ok: true, value: wanted.data } : { ok: false, refusal: refusalOf(wanted.error) };
    },
    fingerprintOf: (wanted) => fingerprintOfFields({ remix_of: source.data, ...wanted }),
    path: `/edge/v1/videos/${source.data}/remix`,
    bodyOf: (wanted) => ({ remix: wanted }),
  });
}
