/** `POST /v1/videos`: one video, asked for by form or JSON. */
import { CREATE_BODY_BYTES_MAX, type CreateVideo } from "#protocol/create-video.ts";
import type { EdgeContext } from "../app.ts";
import { readCreateVideo } from "../create-body.ts";
import { fingerprintOf } from "../create-fingerprint.ts";
import { guardedCreate } from "./guarded-create.ts";

export function createVideo(c: EdgeContext): Promise<Response> {
  return guardedCreate<CreateVideo>(c, {
    bodyBytesMax: CREATE_BODY_BYTES_MAX,
    read: readCreateVideo,
    fingerprintOf,
    path: "/edge/v1/videos",
    bodyOf: (video) => ({ video }),
  });
}
