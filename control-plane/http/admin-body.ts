/** How the admin listener reads a body, knows who asks, and writes an answer. */
import type { Context } from "hono";
import type { Answer } from "#control-plane/usecase/admin-answer.ts";
import type { Operator } from "#control-plane/usecase/admin-audit.ts";
import { refusalOf, renderRefusal } from "#protocol/error.ts";
import type { Refusal } from "#protocol/error.ts";
import type { z } from "zod";
import { mintRequestId } from "./request-id.ts";

const ADMIN_BODY_BYTES_MAX = 64 * 1024;

/** What the check of the token leaves for the handlers. */
export interface AdminEnv {
  readonly Variables: { operator: Operator };
}
export type AdminContext = Context<AdminEnv>;

export async function parse<Schema extends z.ZodType>(c: Context, schema: Schema): Promise<Answer<z.infer<Schema>>> {
  const text = await c.req.text();
  if (text.length > ADMIN_BODY_BYTES_MAX)
    return { ok: false, refusal: { code: "file_too_large", message: "The body is too large." } };
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // The only failure of JSON.parse is text that is not JSON.
    return { ok: false, refusal: { code: "invalid_body", message: "The body is not JSON." } };
  }
  const parsed = schema.safeParse(json);
  return parsed.success ? { ok: true, value: parsed.data } : { ok: false, refusal: refusalOf(parsed.error) };
}

export function render<Value extends object>(c: Context, answer: Answer<Value>): Response {
  return answer.ok ? c.json(answer.value) : refuse(answer.refusal);
}

export function refuse(refusal: Refusal): Response {
  return renderRefusal(refusal, mintRequestId());
}
