/** A remix: the source's terms, seed and reference under a new prompt, admitted, priced and queued like any other create. */
import type { JobRecord } from "#control-plane/core/job.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import { findVideo } from "#control-plane/db/jobs.ts";
import type { CreateVideo } from "#protocol/create-video.ts";
import type { SubmitRemix } from "#protocol/edge-call.ts";
import type { Refusal } from "#protocol/error.ts";
import type { VideoId } from "#protocol/id.ts";
import { STATUS_OF } from "#protocol/video.ts";
import { madeBefore, submitJob } from "./submit-job.ts";
import type { Submitted, SubmitRequest } from "./submit-job.ts";

const NOT_FOUND: Refusal = { code: "video_not_found", message: "No such video." };

export interface RemixRequest extends Pick<SubmitRequest, "account" | "requestId" | "seed" | "loadOf" | "judge"> {
  readonly source: VideoId;
  readonly submit: SubmitRemix;
}

export async function remixVideo(sql: Sql, { source: id, submit, ...request }: RemixRequest): Promise<Submitted> {
  const source = await findVideo(sql, request.account, id);
  if (source === null) {
    // A repeated call gets its video, even if the source was deleted in between.
    return (await madeBefore(sql, request.account, submit)) ?? { ok: false, refusal: NOT_FOUND };
  }
  const { job } = source;
  const { create_key, idempotency, remix } = submit;
  if (job.state !== "completed") {
    const message = `Only a completed video can be remixed: its status is '${STATUS_OF[job.state]}'.`;
    return { ok: false, refusal: { code: "video_not_ready", message } };
  }
  const { referenceSha256: sha256, referenceMediaType: mediaType } = job;
  return submitJob(sql, {
    ...request,
    submit: { create_key, idempotency, video: videoOf(job, remix) },
    // It is in the store already: the source was made from it.
    reference: sha256 === null || mediaType === null ? null : { sha256, mediaType, keep: async () => undefined },
    remixOf: job.id,
  });
}

function videoOf(job: JobRecord, remix: SubmitRemix["remix"]): CreateVideo {
  const { model, size, seconds, steps, seed, negativePrompt } = job;
  return { model, size, seconds, steps, seed: Number(seed), negative_prompt: negativePrompt, ...remix };
}
