/** OpenAI's Video object by its own specification (August 2026), written down here apart from the product's schemas. */
import { z } from "zod";

export const OpenAiVideo = z.looseObject({
  id: z.string().min(1),
  object: z.literal("video"),
  model: z.string().min(1),
  status: z.enum(["queued", "in_progress", "completed", "failed"]),
  progress: z.int().min(0).max(100),
  created_at: z.int().positive(),
  completed_at: z.int().positive().nullable(),
  expires_at: z.int().positive().nullable(),
  prompt: z.string().nullable(),
  size: z.string().regex(/^\d+x\d+$/),
  seconds: z.string().regex(/^\d+$/),
  remixed_from_video_id: z.string().nullable(),
  error: z.looseObject({ code: z.string(), message: z.string() }).nullable(),
});
