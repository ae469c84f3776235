/**
 * The online audit: all rules over the whole ledger in one snapshot. A breach stops admission, and nothing else, until an audit
 * is clean again: better to stop than to go on with wrong numbers.
 */
import { breachesOf, countEntries, inSnapshot, RULES, saveAudit } from "#control-plane/db/audit.ts";
import type { Breach } from "#control-plane/db/audit.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import { assertLeader } from "#control-plane/db/leader.ts";
import { inTransaction } from "#control-plane/db/transaction.ts";
import type { Refusal } from "#protocol/error.ts";

/** How often the leader audits. */
export const AUDIT_EVERY_MS = 60_000;

export const LEDGER_STOPPED: Refusal = {
  code: "service_unavailable",
  message:
    "The credit ledger failed its audit: no new videos are admitted until it passes again. Everything else works.",
  retryAfterSeconds: 60,
};

export interface Audit {
  readonly breaches: readonly Breach[];
  readonly rules: number;
  readonly entries: number;
}

export function auditLedger(sql: Sql): Promise<Audit> {
  return inSnapshot(sql, async (tx) => {
    const breaches: Breach[] = [];
    for (const rule of RULES) breaches.push(...(await breachesOf(tx, rule)));
    return { breaches, rules: RULES.length, entries: await countEntries(tx) };
  });
}

/** Audits, and tells every replica whether to admit. */
export async function superviseLedger(sql: Sql, leaderEpoch: number): Promise<Audit> {
  const audit = await auditLedger(sql);
  await inTransaction(sql, async (tx) => {
    await assertLeader(tx, leaderEpoch);
    await saveAudit(tx, leaderEpoch, audit.breaches);
  });
  return audit;
}
