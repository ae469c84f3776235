/**
 * What an account sees of its credits: balance, grants, transactions, and what a video would cost.
 *
 * Amounts are decimal text in credits, with at most three places. `settled` is all that the account owns, `held` what
 * its open videos have pinned, `available` the rest: what a new video can be paid with.
 */
import { z } from "zod";
import { GrantCategory } from "./admin.ts";
import { VideoId } from "./id.ts";
import { queryNumber } from "./query-number.ts";
import { CreditsText } from "./unit.ts";
import { LIST_LIMIT_MAX } from "./video.ts";

export const GrantId = z
  .string()
  .regex(/^(grant_|make_good:)[0-9a-z_]{1,64}$/)
  .brand<"GrantId">();
export type GrantId = z.infer<typeof GrantId>;

export const CreditBalance = z.object({
  object: z.literal("credit_balance"),
  unit: z.literal("credits"),
  settled: CreditsText,
  held: CreditsText,
  available: CreditsText,
  /** Of grants that have not begun. */
  pending: CreditsText,
  /** What will be lost if it is not held by then, soonest first. */
  expiring: z.array(z.object({ grant_id: z.string(), amount: CreditsText, at: z.int() })),
});
export type CreditBalance = z.infer<typeof CreditBalance>;

/** Ends shown in a balance; `GET /v1/credits/grants` has all. */
export const EXPIRING_MAX = 20;

export const GrantStatus = z.enum(["pending", "active", "depleted", "expired", "voided"]);
export type GrantStatus = z.infer<typeof GrantStatus>;

export const CreditGrant = z.object({
  id: z.string(),
  object: z.literal("credit_grant"),
  amount: CreditsText,
  /** What is neither held, spent, expired nor voided. */
  remaining: CreditsText,
  held: CreditsText,
  consumed: CreditsText,
  expired: CreditsText,
  voided: CreditsText,
  category: GrantCategory,
  /** 0 is spent first. */
  priority: z.int(),
  effective_at: z.int(),
  expires_at: z.int().nullable(),
  status: GrantStatus,
  created_at: z.int(),
});
export type CreditGrant = z.infer<typeof CreditGrant>;

export const CreditGrantList = z.object({
  object: z.literal("list"),
  data: z.array(CreditGrant),
  first_id: z.string().nullable(),
  last_id: z.string().nullable(),
  has_more: z.boolean(),
});
export type CreditGrantList = z.infer<typeof CreditGrantList>;

export const TransactionType = z.enum([
  "funded",
  "held",
  "captured",
  "released",
  "expired",
  "voided",
  "refunded",
  "make_good",
  "adjusted",
]);
export type TransactionType = z.infer<typeof TransactionType>;

export const TransactionId = z
  .string()
  .regex(/^txn_[0-9]{1,18}$/)
  .brand<"TransactionId">();
export type TransactionId = z.infer<typeof TransactionId>;

/** One movement of credits of one grant; never changed and never removed. */
export const CreditTransaction = z.object({
  id: TransactionId,
  object: z.literal("credit_transaction"),
  type: TransactionType,
  amount: CreditsText,
  grant_id: z.string(),
  /** The video that it was for. */
  video_id: VideoId.nullable(),
  /** The account's free credits; what is held, captured or forfeited from a hold changes none. */
  available: z.object({ before: CreditsText, after: CreditsText }),
  /** The operator's words, of an act of his. */
  reason: z.string().nullable(),
  booked_at: z.int(),
});
export type CreditTransaction = z.infer<typeof CreditTransaction>;

export const CreditTransactionList = z.object({
  object: z.literal("list"),
  data: z.array(CreditTransaction),
  first_id: z.string().nullable(),
  last_id: z.string().nullable(),
  has_more: z.boolean(),
});
export type CreditTransactionList = z.infer<typeof CreditTransactionList>;

const LIMIT = queryNumber(0, LIST_LIMIT_MAX).default(20);
const ORDER = z.enum(["asc", "desc"]).default("desc");

export const GrantQuery = z.strictObject({ limit: LIMIT, order: ORDER, after: GrantId.optional() });
export type GrantQuery = z.infer<typeof GrantQuery>;
export const TransactionQuery = z.strictObject({ limit: LIMIT, order: ORDER, after: TransactionId.optional() });
export type TransactionQuery = z.infer<typeof TransactionQuery>;

/** What would happen to a create with this body, now. Nothing is stored and nothing is held. */
export const VideoEstimate = z.object({
  object: z.literal("video.estimate"),
  model: z.string(),
  class: z.string(),
  size: z.string(),
  seconds: z.string(),
  unit: z.literal("credits"),
  /** What a create would hold. */
  price: CreditsText,
  available: CreditsText,
  would_be_accepted: z.boolean(),
  /** Why not, as the create would say it. */
  refusal: z.looseObject({ code: z.string(), message: z.string() }).nullable(),
  /** Seconds from now until it would start; null where nobody knows. */
  start: z.object({ p50: z.int().nonnegative(), p90: z.int().nonnegative() }).nullable(),
});
export type VideoEstimate = z.infer<typeof VideoEstimate>;
