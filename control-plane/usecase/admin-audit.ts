/**
 * The admin audit log: each act of the operator is one row, written in the transaction of the act, last before its commit.
 *
 * Rows form a chain: `hash = SHA-256(prev_hash + "\n" + record)`, the first `prev_hash` being 64 zeros. Whoever changes,
 * removes or inserts a row breaks it, whatever rights he had; who rewrites the whole chain is found by an older hash kept
 * elsewhere, as in the log line of every audit.
 */
import { createHash } from "node:crypto";
import { appendAudit, auditHead, auditRowsAfter, lockAuditHead } from "#control-plane/db/admin-audit.ts";
import type { AuditRow } from "#control-plane/db/admin-audit.ts";
import { inSnapshot } from "#control-plane/db/audit.ts";
import type { Breach } from "#control-plane/db/audit.ts";
import type { Sql, Transaction } from "#control-plane/db/connect.ts";
import type { AuditEntry } from "#protocol/admin-audit.ts";
import { Sha256Hex } from "#protocol/id.ts";

/** Who acts, by the name of the token, in which call. */
export interface Operator {
  readonly actor: string;
  readonly requestId: string;
}

/** What was done to what. Never a secret: `changes` is shown and kept for ever. */
export interface AdminAct {
  readonly act: string;
  readonly target: string;
  readonly changes?: Readonly<Record<string, unknown>>;
}

export interface AuditVerdict {
  readonly breaches: readonly Breach[];
  readonly rows: number;
  /** Of the newest row: kept elsewhere, it proves later that nothing before it was rewritten. */
  readonly headHash: Sha256Hex;
}

export const GENESIS = Sha256Hex.parse("0".repeat(64));
const PAGE_ROWS = 1_000;
const BREACHES_MAX = 20;
const RULE = "A1";

export async function record(tx: Transaction, by: Operator, { act, target, changes = {} }: AdminAct): Promise<void> {
  const head = await lockAuditHead(tx);
  const seq = head.seq + 1n;
  const entry = {
    seq: Number(seq),
    at: head.at.toISOString(),
    act,
    target,
    actor: by.actor,
    request_id: by.requestId,
    changes,
  };
  const text = JSON.stringify(entry);
  await appendAudit(tx, { seq, record: text, prevHash: head.hash, hash: chainHash(head.hash, text) });
}

/** Oldest first; one more than asked for is read, to know whether there is more. */
export async function readAuditLog(
  sql: Sql,
  after: number,
  limit: number,
): Promise<{ readonly data: readonly AuditEntry[]; readonly has_more: boolean }> {
  const rows = await auditRowsAfter(sql, BigInt(after), limit + 1);
  return { data: rows.slice(0, limit).map(entryOf), has_more: rows.length > limit };
}

/** Walks the whole chain in one snapshot. */
export function verifyAuditLog(sql: Sql): Promise<AuditVerdict> {
  return inSnapshot(sql, async (tx) => {
    const breaches: Breach[] = [];
    let last = { seq: 0n, hash: GENESIS };
    let rows = 0;
    for (;;) {
      const page = await auditRowsAfter(tx, last.seq, PAGE_ROWS);
      for (const row of page) {
        for (const fault of faultsOf(row, last)) breaches.push({ rule: RULE, row: fault });
        last = row;
      }
      rows += page.length;
      if (page.length < PAGE_ROWS) break;
    }
    const head = await auditHead(tx);
    if (head.seq !== last.seq || head.hash !== last.hash) {
      breaches.push({
        rule: RULE,
        row: `the log ends with row ${last.seq}, its head says ${head.seq}: rows are missing`,
      });
    }
    return { breaches: breaches.slice(0, BREACHES_MAX), rows, headHash: head.hash };
  });
}

function faultsOf(row: AuditRow, last: { readonly seq: bigint; readonly hash: Sha256Hex }): readonly string[] {
  const faults: string[] = [];
  if (row.seq !== last.seq + 1n) faults.push(`audit row ${row.seq} follows row ${last.seq}: rows are missing`);
  else if (row.prevHash !== last.hash) faults.push(`audit row ${row.seq} does not follow row ${last.seq} as it is now`);
  if (row.hash !== chainHash(row.prevHash, row.record)) faults.push(`audit row ${row.seq} was changed`);
  return faults;
}

function entryOf(row: AuditRow): AuditEntry {
  return { record: row.record, prev_hash: row.prevHash, hash: row.hash };
}

function chainHash(prevHash: Sha256Hex, text: string): Sha256Hex {
  return Sha256Hex.parse(createHash("sha256").update(`${prevHash}\n${text}`).digest("hex"));
}
