/** In place of `control-plane/db/admin-audit.ts`: nobody administers a simulated studio. */
import type { AuditHead, AuditRow } from "#control-plane/db/admin-audit.ts";
import type { Transaction } from "#control-plane/db/connect.ts";
import { Sha256Hex } from "#protocol/id.ts";
import { statement } from "../postgres/client.ts";

export function auditRowsAfter(): Promise<readonly AuditRow[]> {
  return Promise.resolve([]);
}

export function auditHead(tx: Transaction): Promise<Pick<AuditHead, "seq" | "hash">> {
  return statement(tx, "auditHead", () => ({ seq: 0n, hash: Sha256Hex.parse("0".repeat(64)) }));
}

function notPlayed(): never {
  throw new Error("nobody administers a simulated studio");
}
export const lockAuditHead = notPlayed;
export const appendAudit = notPlayed;
