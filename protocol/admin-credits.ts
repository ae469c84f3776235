/**
 * The operator's acts on credits. Each needs an `Idempotency-Key` header: the same key with the same request is answered as
 * the first time and changes nothing more, with another request it is refused.
 */
import { z } from "zod";
import { AccountId, VideoId } from "./id.ts";
import { storable } from "./text.ts";
import { CreditsText } from "./unit.ts";

const REASON_CHARS_MAX = 500;
const Reason = storable(z.string().min(1).max(REASON_CHARS_MAX));

export const VoidGrant = z.strictObject({ reason: Reason });

/** More than zero: a grant that never ends. Less: taken from what can be spent, all or nothing. */
export const CreateAdjustment = z.strictObject({
  account_id: AccountId,
  amount: CreditsText.refine((text) => Number(text) !== 0, "must not be zero."),
  reason: Reason,
});

/** All that the video was charged goes back to the grants that paid. */
export const CreateRefund = z.strictObject({ video_id: VideoId, reason: Reason });

export const AdminCreditAct = z.object({
  id: z.string(),
  object: z.literal("credit_act"),
  account_id: AccountId,
  /** The sum of what it moved. */
  amount: CreditsText,
  entries: z.array(z.object({ grant_id: z.string(), amount: CreditsText })),
  created_at: z.int(),
});
export type AdminCreditAct = z.infer<typeof AdminCreditAct>;

/** Entries with `from <= at < to`; without them from the beginning, until now. */
export const JournalQuery = z.strictObject({ from: z.iso.datetime().optional(), to: z.iso.datetime().optional() });
