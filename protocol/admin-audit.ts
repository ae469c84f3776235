/** `GET /admin/v1/audit_log?limit&after`: what operators did, oldest first, each row with the proof of its place. */
import { z } from "zod";
import { Sha256Hex } from "./id.ts";

const AUDIT_PAGE_MAX = 1_000;

export const AuditQuery = z.strictObject({
  after: z.coerce.number().pipe(z.int().nonnegative()).default(0),
  limit: z.coerce.number().pipe(z.int().min(1).max(AUDIT_PAGE_MAX)).default(100),
});

/** `hash` = SHA-256 of `prev_hash`, a line feed and `record`, which is JSON text. */
export const AuditEntry = z.object({ record: z.string(), prev_hash: Sha256Hex, hash: Sha256Hex });
export type AuditEntry = z.infer<typeof AuditEntry>;
