/** What the leader does for the ledger: posts the end of grants, tells accounts, and audits it, and the operators' log. A breach is logged row by row. */
import type { Sql } from "#control-plane/db/connect.ts";
import { AUDIT_EVERY_MS, superviseLedger } from "#control-plane/usecase/audit-ledger.ts";
import { verifyAuditLog } from "#control-plane/usecase/admin-audit.ts";
import { expireGrants } from "#control-plane/usecase/expire-grants.ts";
import { tellCredits } from "#control-plane/usecase/tell-credits.ts";
import { Ticker } from "./ticker.ts";
import type { LoopHost } from "./ticker.ts";

const EXPIRE_MS = 1_000;
/** How soon an account hears that its balance is low. */
const NOTICES_MS = 1_000;

export function ledgerTickers(sql: Sql, leaderEpoch: number, host: LoopHost): readonly Ticker[] {
  return [
    new Ticker("expire-grants", EXPIRE_MS, host, async () => {
      await expireGrants(sql, leaderEpoch);
    }),
    new Ticker("credit-notices", NOTICES_MS, host, () => tellCredits(sql, leaderEpoch)),
    new Ticker("admin-audit", AUDIT_EVERY_MS, host, () => verifyAndShow(sql, host)),
    new Ticker("audit", AUDIT_EVERY_MS, host, () => auditAndShow(sql, leaderEpoch, host)),
  ];
}

/** One audit: logged row by row, exported as metrics; a breach stops admission. */
export async function auditAndShow(sql: Sql, leaderEpoch: number, { clock, log, meter }: LoopHost): Promise<void> {
  const { breaches, rules, entries } = await superviseLedger(sql, leaderEpoch);
  meter.show("ledger_breaches", breaches.length);
  meter.show("ledger_entries", entries);
  meter.show("ledger_audited_seconds", clock.nowMs() / 1_000);
  const counts = { ledger_breaches: breaches.length, rules, entries };
  if (breaches.length === 0) return log.info(counts, "the ledger is sound");
  log.error(counts, "the ledger is broken: nothing is admitted until an audit is clean");
  for (const breach of breaches) log.error(breach, "a row breaks a rule of the ledger");
}

/** One walk over the admin audit log. The hash in the line proves later that nothing before it was rewritten. */
export async function verifyAndShow(sql: Sql, { log, meter }: LoopHost): Promise<void> {
  const { breaches, rows, headHash } = await verifyAuditLog(sql);
  meter.show("admin_audit_breaches", breaches.length);
  meter.show("admin_audit_rows", rows);
  const counts = { audit_breaches: breaches.length, audit_rows: rows, audit_head: headHash };
  if (breaches.length === 0) return log.info(counts, "the admin audit log is whole");
  log.error(counts, "the admin audit log was tampered with");
  for (const breach of breaches) log.error(breach, "a row of the admin audit log is not as it was written");
}
