/**
 * A promote: the rest of a completed draft as a video of its own, admitted and queued like any other create, at the price of
 * the steps that are left. It goes on from the draft's checkpoint and ends with the picture that a create without a draft gives.
 */
import type { JobRecord } from "#control-plane/core/job.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import { isPromotable } from "#control-plane/db/jobs.ts";
import type { SubmitPromote } from "#protocol/edge-call.ts";
import type { Refusal } from "#protocol/error.ts";
import { invariant } from "#protocol/invariant.ts";
import { pictureOf, referenceOf, withSource } from "./source-video.ts";
import type { DerivedRequest } from "./source-video.ts";
import { submitJob } from "./submit-job.ts";
import type { Submitted } from "./submit-job.ts";

const NO_DRAFT: Refusal = {
  code: "unsupported_operation",
  message: "Only a draft can be promoted: this video has all of its steps.",
};
const TOO_LATE: Refusal = {
  code: "video_expired",
  message: "This draft can be promoted no more: what it would go on from is not kept any longer.",
};

export function promoteVideo(sql: Sql, request: DerivedRequest<SubmitPromote>): Promise<Submitted> {
  const { create_key, idempotency, promote } = request.submit;
  return withSource(
    sql,
    request,
    "promoted",
    async (draft) => {
      if (draft.stopAfter === null) return NO_DRAFT;
      return (await isPromotable(sql, draft.id)) ? null : TOO_LATE;
    },
    (draft) =>
      submitJob(sql, {
        ...request,
        submit: { create_key, idempotency, video: { ...pictureOf(draft), prompt: draft.prompt, ...promote } },
        reference: referenceOf(draft),
        promoteOf: { id: draft.id, terms: termsOf(draft) },
      }),
  );
}

function termsOf({ stopAfter, fps }: JobRecord) {
  invariant(stopAfter !== null, "only drafts are promoted");
  return { stopAfter, fps };
}
