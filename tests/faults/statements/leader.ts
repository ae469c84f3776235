/** As `control-plane/db/leader.ts`. */
import type { LeaseSeen } from "#control-plane/db/leader.ts";
import type { Sql, Transaction } from "#control-plane/db/connect.ts";
import { statement } from "../postgres/client.ts";
import { tables } from "../postgres/here.ts";
import type { Tx } from "../postgres/tx.ts";

const ROW = "leader";

export class NotLeaderError extends Error {
  override readonly name = "NotLeaderError";
}

function later(tx: Tx, leaseMs: number): Date {
  return new Date(tx.clock().getTime() + leaseMs);
}

export function takeLeadership(sql: Sql, holder: string, url: string | null, leaseMs: number): Promise<number | null> {
  return statement(sql, "takeLeadership", (tx) => {
    const { leader } = tables();
    tx.lock(leader, ROW);
    const row = tx.get(leader, ROW);
    if (row !== null && row.expiresAt >= tx.clock()) return null;
    const epoch = (row?.epoch ?? 0) + 1;
    tx.put(leader, ROW, { epoch, holder, url, expiresAt: later(tx, leaseMs) });
    return epoch;
  });
}

export function seeLeadership(sql: Sql): Promise<LeaseSeen> {
  return statement(sql, "seeLeadership", (tx): LeaseSeen => {
    const row = tx.get(tables().leader, ROW);
    return row !== null && row.expiresAt > tx.clock() ? { url: row.url, free: false } : { url: null, free: true };
  });
}

export function serverTime(sql: Sql): Promise<number> {
  return statement(sql, "serverTime", (tx) => tx.clock().getTime());
}

export function renewLeadership(sql: Sql, epoch: number, leaseMs: number): Promise<boolean> {
  return statement(sql, "renewLeadership", (tx) => {
    const { leader } = tables();
    tx.lock(leader, ROW);
    const row = tx.get(leader, ROW);
    if (row === null || row.epoch !== epoch || row.expiresAt <= tx.clock()) return false;
    tx.put(leader, ROW, { ...row, expiresAt: later(tx, leaseMs) });
    return true;
  });
}

export function resignLeadership(sql: Sql, epoch: number): Promise<void> {
  return statement(sql, "resignLeadership", (tx) => {
    const { leader } = tables();
    tx.lock(leader, ROW);
    const row = tx.get(leader, ROW);
    if (row !== null && row.epoch === epoch) tx.put(leader, ROW, { ...row, expiresAt: tx.clock() });
  });
}

export async function assertLeader(tx: Transaction, epoch: number): Promise<void> {
  const leads = await statement(tx, "assertLeader", (on) => {
    const { leader } = tables();
    on.lock(leader, ROW, "share");
    const row = on.get(leader, ROW);
    on.ledBy = epoch;
    return row !== null && row.epoch === epoch && row.expiresAt > on.clock();
  });
  if (!leads) throw new NotLeaderError(`epoch ${epoch} leads no more`);
}
