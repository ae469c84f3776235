/** What a create would answer now: its price, whether it would be taken, when it would start. Changes nothing. */
import { admit, overload, unaffordable } from "#control-plane/core/admission.ts";
import type { Load } from "#control-plane/core/admission.ts";
import { accountTerms } from "#control-plane/db/accounts.ts";
import { isLedgerSound } from "#control-plane/db/audit.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import { DEFAULT_MODEL, findModel } from "#control-plane/db/models.ts";
import { countWaiting, spendable } from "#control-plane/db/submit.ts";
import type { CreateVideo } from "#protocol/create-video.ts";
import type { VideoEstimate } from "#protocol/credits.ts";
import type { AccountId } from "#protocol/id.ts";
import { creditsText } from "#protocol/unit.ts";
import { answer, NO_ACCOUNT, refuse } from "./admin-answer.ts";
import type { Answer } from "./admin-answer.ts";
import { LEDGER_STOPPED } from "./audit-ledger.ts";

/** Stands for the seed that a create would draw; an estimate shows none. */
const ANY_SEED = 0;

export async function estimateVideo(
  sql: Sql,
  account: AccountId,
  video: CreateVideo,
  loadOf: (tier: string, model: string, className: string) => Load,
): Promise<Answer<VideoEstimate>> {
  const [terms, queued, available, model, sound] = await Promise.all([
    accountTerms(sql, account),
    countWaiting(sql, account),
    spendable(sql, account),
    findModel(sql, video.model ?? DEFAULT_MODEL),
    isLedgerSound(sql),
  ]);
  if (terms === null) return refuse(NO_ACCOUNT);
  const admission = admit(video, model, ANY_SEED);
  if (!admission.ok) return admission;
  const { price, ...wanted } = admission.terms;
  const { tier, maxQueued: queuedMax, startBoundS } = terms;
  const load = loadOf(tier, wanted.model, wanted.class);
  const quota = { tier, queued, queuedMax, startBoundS };
  // In a create's order: who cannot pay is told that before anything that waiting would help.
  const unpaid = available < price ? unaffordable(price, available) : null;
  const refusal = sound ? (unpaid ?? overload(quota, load)) : LEDGER_STOPPED;
  const [p50, p90] = [load.predictedStartS, load.predictedStartP90S];
  return answer({
    object: "video.estimate",
    model: wanted.model,
    class: wanted.class,
    size: wanted.size,
    seconds: String(wanted.seconds),
    unit: "credits",
    price: creditsText(price),
    available: creditsText(available),
    would_be_accepted: refusal === null,
    refusal: refusal === null ? null : { code: refusal.code, message: refusal.message, ...refusal.numbers },
    start: p50 === null || p90 === null ? null : { p50, p90 },
  });
}
