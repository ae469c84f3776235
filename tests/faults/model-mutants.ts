/** Mutants of the modelled statements: each takes away a guard that the SQL of the same name has. */
import type { Mutant } from "./system/hooks.ts";

const STATEMENTS = "tests/faults/statements/";

export const MODEL_MUTANTS: readonly Mutant[] = [
  {
    name: "no-for-share",
    says: "a scheduling transaction checks the epoch without locking it",
    file: `${STATEMENTS}leader.ts`,
    find: `on.lock(leader, ROW, "share");`,
    replace: ``,
  },
  {
    name: "leadership-stolen",
    says: "the lease is taken while it runs",
    file: `${STATEMENTS}leader.ts`,
    find: `if (row !== null && row.expiresAt >= tx.clock()) return null;`,
    replace: ``,
  },
  {
    name: "renewed-by-anybody",
    says: "an old leader renews its successor's lease",
    file: `${STATEMENTS}leader.ts`,
    find: `row === null || row.epoch !== epoch || row.expiresAt <= tx.clock()`,
    replace: `row === null`,
  },
  {
    name: "mail-taken-when-read",
    says: "mail is gone once it was read, whether the reader heard it or not",
    file: `${STATEMENTS}jobs.ts`,
    find: `const jobs = new Set(rows.flatMap(`,
    replace: `for (const { id } of rows) on.put(inbox, String(id), null);
    const jobs = new Set(rows.flatMap(`,
  },
  {
    name: "unlocked-decision",
    says: "a job is not locked between decision and save",
    file: `${STATEMENTS}jobs.ts`,
    find: `on.lock(tables().job, id);`,
    replace: ``,
  },
  {
    name: "claim-not-released",
    says: "a job leaves its devices claimed",
    file: `${STATEMENTS}jobs.ts`,
    find: `if (moved.runnerId === null) freeClaims(on, row.id);`,
    replace: `void freeClaims;`,
  },
  {
    name: "no-state-guard",
    says: "a job is started that does not wait",
    file: `${STATEMENTS}leases.ts`,
    find: `row === null || !WAITING.has(row.state) || row.deletedAt !== null`,
    replace: `row === null`,
  },
  {
    name: "no-claims",
    says: "devices are not claimed",
    file: `${STATEMENTS}leases.ts`,
    find: `on.insert(claim, keyOf(part), { runnerId: dispatch.runner, device: part.device, slot: part.slot, jobId: row.id });`,
    replace: ``,
  },
  {
    name: "renewal-not-fenced",
    says: "a heartbeat of an old lease renews the present one",
    file: `${STATEMENTS}leases.ts`,
    find: `row === null || row.epoch !== lease.epoch || row.runnerId !== runner || !LEASED.has(row.state)`,
    replace: `row === null || !LEASED.has(row.state)`,
  },
  {
    name: "progress-not-fenced",
    says: "progress of an old lease is stored",
    file: `${STATEMENTS}leases.ts`,
    find: `if (row === null || row.epoch !== lease.epoch || !LEASED.has(row.state)) return [];`,
    replace: `if (row === null || !LEASED.has(row.state)) return [];`,
  },
  {
    name: "progress-falls",
    says: "progress is stored as the runner says it",
    file: `${STATEMENTS}leases.ts`,
    find: `Math.max(row.progress, Math.min(progress, 99))`,
    replace: `Math.min(progress, 99)`,
  },
  {
    name: "checkpoint-not-fenced",
    says: "a checkpoint of an old lease is recorded",
    file: `${STATEMENTS}leases.ts`,
    find: `if (row === null || row.epoch !== lease.epoch || !LEASED.has(row.state)) return false;`,
    replace: `if (row === null || !LEASED.has(row.state)) return false;`,
  },
  {
    name: "checkpoints-swept",
    says: "the sweep removes checkpoints that jobs go on from",
    file: `${STATEMENTS}leases.ts`,
    find: `age > CHECKPOINTS_KEPT`,
    replace: `age > 0 * CHECKPOINTS_KEPT`,
  },
  {
    name: "ledger-not-locked",
    says: "the account is not locked while its credits move",
    file: `${STATEMENTS}ledger.ts`,
    find: `on.lock(tables().account, account);`,
    replace: ``,
  },
  {
    name: "numbers-from-outside",
    says: "event numbers are counted from what is committed",
    file: `${STATEMENTS}events.ts`,
    find: `const last = (on.get(counter, account) ?? 0) + 1;`,
    replace: `const last = (counter.get(account) ?? 0) + 1;`,
  },
  {
    name: "submit-without-hold",
    says: "a job is admitted and its credits are not held",
    file: `${STATEMENTS}submit.ts`,
    find: `moveBooks(on, grant.id, { from: "available", to: "held", amount });`,
    replace: `void moveBooks;`,
  },
];
