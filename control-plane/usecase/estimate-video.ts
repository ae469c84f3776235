/** What a create would answer now: its price, whether it would be taken, when it would start. Changes nothing. */
import { admit } from "#control-plane/core/admission.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import { DEFAULT_MODEL, findModel } from "#control-plane/db/models.ts";
import { standingOf } from "#control-plane/db/submit.ts";
import type { CreateVideo } from "#protocol/create-video.ts";
import type { VideoEstimate } from "#protocol/credits.ts";
import type { AccountId } from "#protocol/id.ts";
import { creditsText } from "#protocol/unit.ts";
import { answer, NO_ACCOUNT, refuse } from "./admin-answer.ts";
import type { Answer } from "./admin-answer.ts";
import { obstacleOf } from "./submit-job.ts";
import type { SubmitRequest } from "./submit-job.ts";

/** Stand for what a create would draw; an estimate shows neither. */
const ANY_SEED = 0;
const ANY_CHANCE = 0;

export async function estimateVideo(
  sql: Sql,
  account: AccountId,
  video: CreateVideo,
  loadOf: SubmitRequest["loadOf"],
): Promise<Answer<VideoEstimate>> {
  const [standing, model] = await Promise.all([
    standingOf(sql, account, null),
    findModel(sql, video.model ?? DEFAULT_MODEL),
  ]);
  if (standing === null) return refuse(NO_ACCOUNT);
  const admission = admit(video, model, ANY_SEED);
  if (!admission.ok) return admission;
  const { terms } = admission;
  const refusal = obstacleOf(standing, terms, loadOf, ANY_CHANCE);
  const { predictedStartS: p50, predictedStartP90S: p90 } = loadOf(standing.tier, terms.model, terms.class);
  return answer({
    object: "video.estimate",
    model: terms.model,
    class: terms.class,
    size: terms.size,
    seconds: String(terms.seconds),
    unit: "credits",
    price: creditsText(terms.price),
    available: creditsText(standing.available),
    would_be_accepted: refusal === null,
    refusal: refusal === null ? null : { code: refusal.code, message: refusal.message, ...refusal.numbers },
    start: p50 === null || p90 === null ? null : { p50, p90 },
  });
}
