/**
 * What a client may ask for. Multipart text, JSON and repeated SDK retries all end as one `CreateVideo`.
 *
 * Shape and limits are checked here, at the edge; what a *model* allows (sizes, seconds, steps) is data and is checked by
 * the control plane. Unknown fields are refused, so a typo never silently costs credits.
 */
import { z } from "zod";
import { isStorable, storable, UNSTORABLE } from "./text.ts";
import { WebhookUrl } from "./webhook.ts";

export const PROMPT_CHARS_MAX = 32_000;
export const METADATA_KEYS_MAX = 16;
/** A create body, file included. Larger references will be presigned uploads. */
export const CREATE_BODY_BYTES_MAX = 20 * 1024 * 1024;

export const Size = z.string().regex(/^[1-9]\d{1,4}x[1-9]\d{1,4}$/, "must look like '1280x720'.");
export const Resolution = z.enum(["480p", "720p", "1080p"]);
export const AspectRatio = z.enum(["16:9", "9:16", "1:1"]);

/** Sizes that `resolution` + `aspect_ratio` (our extension) stand for. */
export const SIZE_OF = {
  "480p": { "16:9": "832x480", "9:16": "480x832", "1:1": "480x480" },
  "720p": { "16:9": "1280x720", "9:16": "720x1280", "1:1": "720x720" },
  "1080p": { "16:9": "1920x1080", "9:16": "1080x1920", "1:1": "1080x1080" },
} as const satisfies Record<z.infer<typeof Resolution>, Record<z.infer<typeof AspectRatio>, string>>;

/** Multipart fields are text, so whole numbers are accepted as text too. */
function wholeNumber(min: number, max: number) {
  return z
    .union([z.number(), z.string().regex(/^\d{1,10}$/)], { error: `must be a whole number from ${min} to ${max}.` })
    .transform(Number)
    .pipe(
      z
        .int(`must be a whole number from ${min} to ${max}.`)
        .min(min, `must be at least ${min}.`)
        .max(max, `must be at most ${max}.`),
    );
}

/** Multipart fields are text here too. */
const Flag = z
  .union([z.boolean(), z.enum(["true", "false"])], { error: "must be true or false." })
  .transform((flag) => flag === true || flag === "true");

export const MEDIA_TYPES = ["image/png", "image/jpeg", "image/webp"] as const;

/** A still image that conditions the first frame; `data` is base64 (the edge has already unpacked file or data URL). */
export const InputReference = z.strictObject({
  media_type: z.enum(MEDIA_TYPES, { error: `must be one of ${MEDIA_TYPES.join(", ")}.` }),
  data: z.base64(),
});
export type InputReference = z.infer<typeof InputReference>;

/** A deadline is at most this far away; without one, this is how long a video may live. */
export const DEADLINE_SECONDS_MAX = 86_400;

const Fields = z.strictObject({
  prompt: z
    .string({ error: "is required and must be text." })
    .max(PROMPT_CHARS_MAX, `must be at most ${PROMPT_CHARS_MAX} characters.`)
    .refine((text) => text.trim() !== "", "must not be empty.")
    .refine(isStorable, UNSTORABLE),
  model: storable(z.string().min(1).max(64)).optional(),
  size: Size.optional(),
  resolution: Resolution.optional(),
  aspect_ratio: AspectRatio.optional(),
  seconds: wholeNumber(1, 600).optional(),
  seed: wholeNumber(0, 0xffff_ffff).optional(),
  /** Stop after a share of the steps and show how it looks so far; a promote does the rest. */
  draft: Flag.optional(),
  steps: wholeNumber(1, 1_000).optional(),
  negative_prompt: storable(z.string().max(PROMPT_CHARS_MAX)).optional(),
  metadata: z
    .record(storable(z.string().min(1).max(64)), storable(z.string().max(512)))
    .refine((map) => Object.keys(map).length <= METADATA_KEYS_MAX, `must have at most ${METADATA_KEYS_MAX} keys.`)
    .optional(),
  input_reference: InputReference.optional(),
  /** Told of this video's end, whatever endpoints the account has; the account's secret signs. */
  webhook_url: WebhookUrl.optional(),
  /** Not started after so many seconds: it fails, and nothing is charged. */
  start_deadline_seconds: wholeNumber(1, DEADLINE_SECONDS_MAX).optional(),
  /** The same for its end. */
  deadline_seconds: wholeNumber(1, DEADLINE_SECONDS_MAX).optional(),
});

export const CreateVideo = Fields.refine((video) => video.size === undefined || video.resolution === undefined, {
  path: ["resolution"],
  message: "give either 'size' or 'resolution', not both.",
}).refine((video) => video.resolution !== undefined || video.aspect_ratio === undefined, {
  path: ["aspect_ratio"],
  message: "needs 'resolution' beside it.",
});
export type CreateVideo = z.infer<typeof CreateVideo>;

/** A new prompt for a completed video, or a draft of that; model, size, seconds, steps, seed, negative prompt and reference stay the source's. */
export const RemixVideo = Fields.pick({
  prompt: true,
  draft: true,
  metadata: true,
  webhook_url: true,
  start_deadline_seconds: true,
  deadline_seconds: true,
});
export type RemixVideo = z.infer<typeof RemixVideo>;

/** The rest of a draft: the same picture, so nothing of that can be said again. */
export const PromoteVideo = RemixVideo.omit({ prompt: true, draft: true });
export type PromoteVideo = z.infer<typeof PromoteVideo>;
