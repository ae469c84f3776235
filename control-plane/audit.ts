/**
 * `npm run audit`: the ledger's rules and the chain of the admin audit log over the whole database, once. Prints the rows that
 * break one and exits 1; changes nothing.
 *
 * It looks at `CALLSHEET_DATABASE_URL`, or at the stack that `npm start` runs.
 */
import { auditedDatabase } from "./config.ts";
import { connect } from "./db/connect.ts";
import { verifyAuditLog } from "./usecase/admin-audit.ts";
import { auditLedger } from "./usecase/audit-ledger.ts";

const database = connect(auditedDatabase(), 1);
try {
  const { breaches: ledger, rules, entries } = await auditLedger(database.sql);
  const log = await verifyAuditLog(database.sql);
  const breaches = [...ledger, ...log.breaches];
  for (const { rule, row } of breaches) process.stdout.write(`${rule}  ${row}\n`);
  const verdict = breaches.length === 0 ? "sound" : `${breaches.length} rows broken`;
  process.stdout.write(`${rules} rules, ${entries} entries, ${verdict}\n`);
  process.stdout.write(`${log.rows} acts of operators, the last with hash ${log.headHash}\n`);
  if (breaches.length > 0) process.exitCode = 1;
} finally {
  await database.close();
}
