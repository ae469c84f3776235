/**
 * `Idempotency-Key`: the client's own name for one act, so that a lost answer can be asked for again without a second act.
 *
 * The same key with the same request is answered with what was done first, and `Idempotency-Replayed: true`; with another
 * request it is refused. Keys of creates are forgotten after a day; those of the operator's credit acts never.
 */
import { z } from "zod";
import type { Refusal } from "./error.ts";

export const IDEMPOTENCY_KEY_HEADER = "idempotency-key";
export const IDEMPOTENCY_REPLAYED_HEADER = "idempotency-replayed";
/** How long the key of a create stands for its video. */
export const IDEMPOTENCY_KEPT_MS = 24 * 3_600_000;

/** Any printable text without blanks. */
const IdempotencyKey = z
  .string({ error: "is required." })
  .regex(/^[\x21-\x7e]{1,255}$/, "must be 1 to 255 printable characters without blanks.");

export const IDEMPOTENCY_KEY_REUSED: Refusal = {
  code: "idempotency_key_reuse",
  param: IDEMPOTENCY_KEY_HEADER,
  message: "This idempotency key was used before, for another request.",
};

export type IdempotencyKeyRead =
  | { readonly ok: true; readonly key: string }
  | { readonly ok: false; readonly refusal: Refusal };

/** A header that is not there is refused too: who may do without a key asks only if there is one. */
export function readIdempotencyKey(header: string | null | undefined): IdempotencyKeyRead {
  const read = IdempotencyKey.safeParse(header ?? undefined);
  if (read.success) return { ok: true, key: read.data };
  const message = `Invalid '${IDEMPOTENCY_KEY_HEADER}': ${read.error.issues[0]?.message ?? ""}`;
  return { ok: false, refusal: { code: "invalid_value", param: IDEMPOTENCY_KEY_HEADER, message } };
}
