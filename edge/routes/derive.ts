/**
 * `POST /v1/videos/{id}/remix` and `/promote`: creates that take what they do not say from a completed video. JSON only, as the
 * SDKs send it.
 */
import type { z } from "zod";
import { PromoteVideo, RemixVideo } from "#protocol/create-video.ts";
import { refusalOf } from "#protocol/error.ts";
import { VideoId } from "#protocol/id.ts";
import type { EdgeApp, EdgeContext } from "../app.ts";
import { readJson, readOptionalJson } from "../create-body.ts";
import { fingerprintOfFields } from "../create-fingerprint.ts";
import { VIDEO_NOT_FOUND } from "../refusals.ts";
import { guardedCreate } from "./guarded-create.ts";
import { methodNotAllowed } from "./refused.ts";

/** A prompt of its longest, each character escaped, and the small fields beside it. */
const BODY_BYTES_MAX = 512 * 1024;

interface Derivation {
  readonly verb: "remix" | "promote";
  readonly fields: z.ZodType<object>;
  readonly read: typeof readJson;
}

export function addDeriveRoutes(app: EdgeApp): void {
  addRoute(app, { verb: "remix", fields: RemixVideo, read: readJson });
  addRoute(app, { verb: "promote", fields: PromoteVideo, read: readOptionalJson });
}

function addRoute(app: EdgeApp, derivation: Derivation): void {
  const path = `/v1/videos/:id/${derivation.verb}`;
  app.post(path, (c) => derive(c, derivation));
  app.all(path, methodNotAllowed("POST"));
}

function derive(c: EdgeContext, { verb, fields, read }: Derivation): Promise<Response> {
  const source = VideoId.safeParse(c.req.param("id"));
  return guardedCreate<object>(c, {
    bodyBytesMax: BODY_BYTES_MAX,
    async read(request, maxBytes) {
      const body = await read(request, maxBytes);
      if (!body.ok) return body;
      if (!source.success) return { ok: false, refusal: VIDEO_NOT_FOUND };
      const wanted = fields.safeParse(body.value);
      return wanted.success ? { ok: true, value: wanted.data } : { ok: false, refusal: refusalOf(wanted.error) };
    },
    fingerprintOf: (wanted) => fingerprintOfFields({ [`${verb}_of`]: source.data, ...wanted }),
    path: `/edge/v1/videos/${source.data}/${verb}`,
    bodyOf: (wanted) => ({ [verb]: wanted }),
  });
}
