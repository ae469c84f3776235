/** The admin audit log: the row lock that puts acts in order, the next row, and the chain as it is stored. */
import type { Sha256Hex } from "#protocol/id.ts";
import type { Sql, Transaction } from "./connect.ts";

export interface AuditHead {
  readonly seq: bigint;
  readonly hash: Sha256Hex;
  /** By the database's clock, under the lock. */
  readonly at: Date;
}

export interface AuditRow {
  readonly seq: bigint;
  readonly record: string;
  readonly prevHash: Sha256Hex;
  readonly hash: Sha256Hex;
}

/** Locked until commit, so taken last: acts that come meanwhile wait for this one. */
export async function lockAuditHead(tx: Transaction): Promise<AuditHead> {
  const [row] = await tx<AuditHead[]>`
    select seq, hash, date_trunc('milliseconds', clock_timestamp()) as at from admin_audit_head where singleton for update`;
  if (row === undefined) throw new Error("the head of the audit log is there since the first migration");
  return row;
}

export async function appendAudit(tx: Transaction, row: AuditRow): Promise<void> {
  await tx`
    insert into admin_audit (seq, record, prev_hash, hash)
    values (${row.seq}, ${row.record}, ${row.prevHash}, ${row.hash})`;
  await tx`update admin_audit_head set seq = ${row.seq}, hash = ${row.hash} where singleton`;
}

/** Oldest first, after this one. */
export async function auditRowsAfter(
  sql: Sql | Transaction,
  after: bigint,
  limit: number,
): Promise<readonly AuditRow[]> {
  return sql<AuditRow[]>`
    select seq, record, prev_hash, hash from admin_audit where seq > ${after} order by seq limit ${limit}`;
}

/** What the log says its end is. */
export async function auditHead(tx: Transaction): Promise<Pick<AuditHead, "seq" | "hash">> {
  const [row] = await tx<Pick<AuditHead, "seq" | "hash">[]>`select seq, hash from admin_audit_head where singleton`;
  if (row === undefined) throw new Error("the head of the audit log is there since the first migration");
  return row;
}
