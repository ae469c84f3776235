/**
 * What the operator may change while everything runs: tiers, models with their classes, thresholds of the scheduler.
 *
 * A `PUT` replaces the whole; a field that is left out gets its default, never its old value. A `PATCH` changes what it names.
 */
import { z } from "zod";
import { Size } from "./create-video.ts";
import { CreditsText } from "./unit.ts";

const WEIGHT_MAX = 10_000;
/** As good as no bound. */
const UNBOUNDED = 1_000_000;
/** Far above honest polling. */
const READS_PER_MINUTE = 6_000;
const READS_BURST = 200;
const DAY_S = 86_400;
const KEEP_HOURS_MAX = 100_000;
/** Long enough to look at a batch of drafts; their checkpoints are large. */
const KEEP_DRAFT_HOURS = 24;
const HOUR_MS = 3_600_000;
const DAY_MS = DAY_S * 1_000;
const GANG_MAX = 64;
const SHAPES_MAX = 16;
const SECONDS_MAX = 600;
const STEPS_MAX = 1_000;
const FPS_MAX = 120;
const SIZES_MAX = 64;
const PRICE_MAX = 1_000_000_000;
const GPU_MS_MAX = 2_000_000_000;

export const TierName = z.string().regex(/^[a-z][a-z0-9_-]{0,31}$/, "it must be a short lower-case name.");

const tierTerms = {
  /** Of each of its accounts. */
  weight: z.int().min(1).max(WEIGHT_MAX),
  /** Bounds of the tier's share, which is the sum of its active accounts' weights. */
  share_min: z.int().min(1).max(UNBOUNDED),
  share_max: z.int().min(1).max(UNBOUNDED),
  /** Running videos of one account, and of the whole tier; 0 pauses. */
  max_running: z.int().min(0).max(UNBOUNDED),
  tier_max_running: z.int().min(0).max(UNBOUNDED),
  max_queued: z.int().min(0).max(UNBOUNDED),
  creates_per_minute: z.int().min(1).max(UNBOUNDED),
  creates_burst: z.int().min(1).max(UNBOUNDED),
  /** Of all calls but creates. */
  reads_per_minute: z.int().min(1).max(UNBOUNDED),
  reads_burst: z.int().min(1).max(UNBOUNDED),
  start_bound_s: z.int().min(1).max(DAY_S),
  /** How long the files of its finished videos are kept; null: until they are deleted. */
  keep_video_hours: z.int().min(1).max(KEEP_HOURS_MAX).nullable(),
  /** How long its finished drafts can be promoted, and their checkpoints are kept for that. */
  keep_draft_hours: z.int().min(1).max(KEEP_HOURS_MAX),
} as const;

export const PutTier = z
  .strictObject({
    ...tierTerms,
    share_min: tierTerms.share_min.default(1),
    share_max: tierTerms.share_max.default(UNBOUNDED),
    tier_max_running: tierTerms.tier_max_running.default(UNBOUNDED),
    reads_per_minute: tierTerms.reads_per_minute.default(READS_PER_MINUTE),
    reads_burst: tierTerms.reads_burst.default(READS_BURST),
    keep_video_hours: tierTerms.keep_video_hours.default(null),
    keep_draft_hours: tierTerms.keep_draft_hours.default(KEEP_DRAFT_HOURS),
  })
  .refine((tier) => tier.share_min <= tier.share_max, {
    path: ["share_max"],
    message: "it must not be less than 'share_min'.",
  });
export const AdminTier = z.object({ name: TierName, ...tierTerms });
export type AdminTier = z.infer<typeof AdminTier>;

export const ClassName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9/._-]{0,63}$/, "it must be a short lower-case name, e.g. 720p/4s.");

const ClassResolution = z.string().regex(/^[1-9]\d{1,4}p$/, "it must be a resolution such as 720p.");

/** One way to run a class: `k` devices of one runner together. Times at the model's default steps on the reference GPU. */
const ClassShape = z
  .strictObject({
    k: z.int().min(1).max(GANG_MAX),
    /** On each of them. */
    vram_bytes: z.int().min(0),
    wall_ms: z.int().min(1).max(DAY_MS),
    /** Parts of `wall_ms` that do not grow with the steps. */
    encode_ms: z.int().min(0).max(DAY_MS).default(0),
    decode_ms: z.int().min(0).max(DAY_MS).default(0),
  })
  .refine((shape) => shape.encode_ms + shape.decode_ms <= shape.wall_ms, {
    path: ["wall_ms"],
    message: "it must not be less than 'encode_ms' and 'decode_ms' together.",
  });

export const PutModelClass = z.strictObject({
  resolution: ClassResolution,
  /** The longest video of the class. */
  seconds_max: z.int().min(1).max(SECONDS_MAX),
  /** Credits at the model's default steps. */
  price: CreditsText.refine(
    (text) => Number(text) > 0 && Number(text) <= PRICE_MAX,
    `must be within 0 and ${PRICE_MAX}.`,
  ),
  /** The fair charge at the default steps; left out: what the cheapest shape takes. */
  gpu_ms: z.int().min(1).max(GPU_MS_MAX).optional(),
  shapes: z
    .array(ClassShape)
    .min(1)
    .max(SHAPES_MAX)
    .refine((shapes) => shapes.every(({ k }, at) => at === 0 || k > (shapes[at - 1]?.k ?? 0)), {
      message: "they must be in ascending order of 'k', each 'k' once.",
    }),
});
export const AdminModelClass = z.object({
  model: z.string(),
  name: z.string(),
  resolution: z.string(),
  seconds_max: z.int(),
  price: CreditsText,
  gpu_ms: z.int(),
  shapes: z.array(
    z.object({ k: z.int(), vram_bytes: z.int(), wall_ms: z.int(), encode_ms: z.int(), decode_ms: z.int() }),
  ),
  /** A retired class takes no new videos; those it has run to their end. */
  retired: z.boolean(),
});
export type AdminModelClass = z.infer<typeof AdminModelClass>;

export const ModelName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, "it must be a short name without spaces, e.g. wan2.2-t2v-a14b.");

const ModelSize = z.strictObject({
  size: Size,
  /** The bucket this size is priced and packed in: the `resolution` of a class. */
  resolution: ClassResolution,
});

/** What may be asked of a model. It is offered as soon as it has a class, and runs where a runner announces its name. */
export const PutModel = z
  .strictObject({
    /** By which engine; a runner of another one that announces the model is used all the same. */
    engine: z.string().regex(/^[a-z][a-z0-9-]{0,31}$/, "it must be the short name of an engine, e.g. diffusers."),
    fps: z.int().min(1).max(FPS_MAX),
    sizes: z.array(ModelSize).min(1).max(SIZES_MAX),
    default_size: Size,
    seconds_min: z.int().min(1).max(SECONDS_MAX).default(1),
    seconds_max: z.int().min(1).max(SECONDS_MAX),
    seconds_default: z.int().min(1).max(SECONDS_MAX),
    steps_default: z.int().min(1).max(STEPS_MAX),
    steps_max: z.int().min(1).max(STEPS_MAX),
    load_ms: z.int().min(0).max(DAY_MS).default(0),
    resume: z.enum(["exact", "none"]).default("none"),
  })
  .refine(({ sizes, default_size: size }) => sizes.some((known) => known.size === size), {
    path: ["default_size"],
    message: "it must be one of 'sizes'.",
  })
  .refine(({ seconds_min: min, seconds_default: usual, seconds_max: max }) => min <= usual && usual <= max, {
    path: ["seconds_default"],
    message: "it must be within 'seconds_min' and 'seconds_max'.",
  })
  .refine(({ steps_default: usual, steps_max: max }) => usual <= max, {
    path: ["steps_default"],
    message: "it must not be more than 'steps_max'.",
  });

export const PatchModel = z.strictObject({
  /** Time to make its weights resident on a device. */
  load_ms: z.int().min(0).max(DAY_MS).optional(),
  /** Whether its videos may be preempted: stopped at a step, and gone on with elsewhere without loss. */
  resume: z.enum(["exact", "none"]).optional(),
});
export const AdminModel = z.object({
  name: z.string(),
  engine: z.string(),
  steps_default: z.int(),
  load_ms: z.int(),
  resume: z.enum(["exact", "none"]),
  classes: z.array(AdminModelClass),
});
export type AdminModel = z.infer<typeof AdminModel>;

const limits = {
  reserve_after_ms: z.int().min(0).max(DAY_MS),
  slack_max: z.number().min(0).max(10),
  full_backlog_ms: z.int().min(1).max(DAY_MS),
  preempt_after_ms: z.int().min(0).max(DAY_MS),
  victim_ran_min_ms: z.int().min(0).max(DAY_MS),
  victim_left_min_ms: z.int().min(0).max(DAY_MS),
  victim_left_min_share: z.number().min(0).max(1),
  preemptions_max: z.int().min(0).max(100),
  waste_share: z.number().min(0).max(1),
  retries_per_minute: z.int().min(1).max(1_000_000),
  skip_ms: z.int().min(0).max(DAY_MS),
  passed_max_ms: z.int().min(0).max(DAY_MS),
  dry_run_every_ms: z.int().min(100).max(HOUR_MS),
  queued_gpu_seconds_max: z.int().min(0).max(1_000_000_000),
} as const;
export type LimitName = keyof typeof limits;

type Changes<Fields extends Record<string, z.ZodType>> = {
  readonly [Name in keyof Fields]: z.ZodOptional<z.ZodNullable<Fields[Name]>>;
};

/** Null takes an override back. */
export const PatchLimits = z.strictObject(
  Object.fromEntries(
    Object.entries(limits).map(([name, schema]) => [name, z.optional(z.nullable(schema))]),
  ) as unknown as Changes<typeof limits>,
);
export const AdminLimits = z.object({
  /** What holds now. */
  limits: z.object(limits),
  /** What the operator set of it. */
  overrides: z.object(limits).partial(),
});
export type AdminLimits = z.infer<typeof AdminLimits>;
