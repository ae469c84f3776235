/** A remix: the source's terms, seed and reference under a new prompt, admitted, priced and queued like any other create. */
import type { Sql } from "#control-plane/db/connect.ts";
import type { SubmitRemix } from "#protocol/edge-call.ts";
import { pictureOf, referenceOf, withSource } from "./source-video.ts";
import type { DerivedRequest } from "./source-video.ts";
import { submitJob } from "./submit-job.ts";
import type { Submitted } from "./submit-job.ts";

export function remixVideo(sql: Sql, request: DerivedRequest<SubmitRemix>): Promise<Submitted> {
  const { create_key, idempotency, remix } = request.submit;
  return withSource(
    sql,
    request,
    "remixed",
    () => null,
    (source) =>
      submitJob(sql, {
        ...request,
        submit: { create_key, idempotency, video: { ...pictureOf(source), ...remix } },
        reference: referenceOf(source),
        remixOf: source.id,
      }),
  );
}
