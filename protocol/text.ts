/** Text that may be kept: PostgreSQL stores no NUL, and a lone surrogate is no character of any encoding. */
import type { z } from "zod";

export function isStorable(text: string): boolean {
  return !text.includes("\0") && text.isWellFormed();
}

export const UNSTORABLE = "must be valid Unicode without NUL characters.";

/** A string schema whose text may be kept. */
export function storable<Schema extends z.ZodString>(schema: Schema) {
  return schema.refine(isStorable, UNSTORABLE);
}
