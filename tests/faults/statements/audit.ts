/** In place of `control-plane/db/audit.ts`: the simulation's own checker looks at the ledger after every commit. */
import type { Breach } from "#control-plane/db/audit.ts";
import type { Sql, Transaction } from "#control-plane/db/connect.ts";
import { statement } from "../postgres/client.ts";
import { tables } from "../postgres/here.ts";

export const RULES: readonly never[] = [];

export function inSnapshot<Result>(sql: Sql, work: (tx: Transaction) => Promise<Result>): Promise<Result> {
  return sql.begin(work) as Promise<Result>;
}

export function breachesOf(): Promise<readonly Breach[]> {
  return Promise.resolve([]);
}

export function countEntries(tx: Transaction): Promise<number> {
  return statement(tx, "countEntries", () => tables().entry.cells.size);
}

export function saveAudit(tx: Transaction, _epoch: number, _breaches: readonly Breach[]): Promise<void> {
  return statement(tx, "saveAudit", () => undefined);
}
