/** What a remix or a promote takes over from the completed video that it names. */
import type { JobRecord } from "#control-plane/core/job.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import { findVideo } from "#control-plane/db/jobs.ts";
import type { Refusal } from "#protocol/error.ts";
import type { VideoId } from "#protocol/id.ts";
import { STATUS_OF } from "#protocol/video.ts";
import { madeBefore } from "./submit-job.ts";
import type { Submitted, SubmitRequest } from "./submit-job.ts";

const NOT_FOUND: Refusal = { code: "video_not_found", message: "No such video." };

export interface DerivedRequest<Submit extends Parameters<typeof madeBefore>[2]> extends Pick<
  SubmitRequest,
  "account" | "requestId" | "seed" | "loadOf" | "judge"
> {
  readonly source: VideoId;
  readonly submit: Submit;
}

/** `hindrance`: what else speaks against it. A repeated call gets its video all the same, whatever became of the source. */
export async function withSource(
  sql: Sql,
  { account, source: id, submit }: DerivedRequest<Parameters<typeof madeBefore>[2]>,
  verb: "remixed" | "promoted",
  hindrance: (source: JobRecord) => Refusal | null | Promise<Refusal | null>,
  submitFrom: (source: JobRecord) => Promise<Submitted>,
): Promise<Submitted> {
  const source = (await findVideo(sql, account, id))?.job ?? null;
  const refusal = source === null ? NOT_FOUND : (notReady(source, verb) ?? (await hindrance(source)));
  if (source !== null && refusal === null) return submitFrom(source);
  return (await madeBefore(sql, account, submit)) ?? { ok: false, refusal: refusal ?? NOT_FOUND };
}

function notReady({ state }: JobRecord, verb: string): Refusal | null {
  if (state === "completed") return null;
  return {
    code: "video_not_ready",
    message: `Only a completed video can be ${verb}: its status is '${STATUS_OF[state]}'.`,
  };
}

/** Everything that decides the picture, but for the prompt and the reference. */
export function pictureOf({ model, size, seconds, steps, seed, negativePrompt }: JobRecord) {
  return { model, size, seconds, steps, seed: Number(seed), negative_prompt: negativePrompt };
}

/** It is in the store already: the source was made from it. */
export function referenceOf({ referenceSha256: sha256, referenceMediaType: mediaType }: JobRecord) {
  return sha256 === null || mediaType === null ? null : { sha256, mediaType, keep: async () => undefined };
}
