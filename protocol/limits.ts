/** What an account may do, and how much of it is left; what may be asked of which model. */
import { z } from "zod";

const Cap = z.object({
  limit: z.int().nonnegative(),
  used: z.int().nonnegative(),
});

/** What the control plane knows: caps of the account's tier, and how many of its videos count towards them. */
export const AccountStanding = z.object({
  tier: z.string(),
  /** Its part of the GPUs, against the weights of the other accounts that have work. */
  weight: z.int().positive(),
  /** Videos that run; more are taken and wait as `throttled`. */
  running: Cap,
  /** Videos that wait; more are refused with `queue_full`. */
  queued: Cap,
  /** A video that would start later than this is refused with `queue_full`. */
  start_bound_seconds: z.int().positive(),
});
export type AccountStanding = z.infer<typeof AccountStanding>;

const Rate = z.object({
  per_minute: z.int().positive(),
  /** What can be used at once after a rest. */
  burst: z.int().positive(),
  remaining: z.int().nonnegative(),
  /** Until all of the burst is there again. */
  reset_seconds: z.int().nonnegative(),
});

/** `GET /v1/limits`. */
export const Limits = AccountStanding.extend({
  object: z.literal("limits"),
  /** `POST /v1/videos`. */
  create: Rate,
  /** Every other call, and every frame of a live session. */
  read: Rate,
});
export type Limits = z.infer<typeof Limits>;

/** OpenAI's Model object, and what a create may ask of it. */
export const ModelEntry = z.object({
  id: z.string(),
  object: z.literal("model"),
  created: z.int(),
  owned_by: z.string(),
  operations: z.array(z.enum(["create"])),
  sizes: z.array(z.string()),
  default_size: z.string(),
  seconds: z.object({ min: z.int(), max: z.int(), default: z.int() }),
  steps: z.object({ max: z.int(), default: z.int() }),
});

/** `GET /v1/models`. */
export const ModelList = z.object({ object: z.literal("list"), data: z.array(ModelEntry) });
export type ModelList = z.infer<typeof ModelList>;
