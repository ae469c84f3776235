/**
 * The ledger's long tests on a PostgreSQL of their own: a storm of clients, and scripts that fast-check shrinks.
 *
 * `npm run credits:storm [-- --operations 100000 --clients 64 --accounts 16 --scripts 0 --seed 1 --minutes 60 --path P]`; `--scripts 10000` plays so many
 * instead. Exits 1 if a rule of the auditor is broken or the calculator's replay of a journal differs.
 */
import { parseArgs } from "node:util";
import fc from "fast-check";
import { migrate } from "#control-plane/db/migrate.ts";
import { auditLedger } from "#control-plane/usecase/audit-ledger.ts";
import type { AccountId } from "#protocol/id.ts";
import { replayJournal } from "#tests/support/journal-replay.ts";
import { ledgerScripts, perform } from "#tests/support/ledger-script.ts";
import { rage } from "#tests/support/ledger-storm.ts";
import { openServer } from "#tests/support/own-postgres.ts";
import { Studio } from "#tests/support/studio.ts";

const { values } = parseArgs({
  options: {
    operations: { type: "string", default: "100000" },
    clients: { type: "string", default: "64" },
    accounts: { type: "string", default: "16" },
    scripts: { type: "string", default: "0" },
    seed: { type: "string", default: "1" },
    minutes: { type: "string", default: "60" },
    /** Where fast-check found and shrank a failure. */
    path: { type: "string" },
  },
});
const [seed, scripts, clients] = [Number(values.seed), Number(values.scripts), Number(values.clients)];

const server = await openServer();
const startedMs = performance.now();
const secondsSoFar = () => Math.round((performance.now() - startedMs) / 1_000);
try {
  await migrate(server.url);
  const studio = new Studio(server.url, async () => undefined, clients);
  try {
    if (scripts > 0) await playScripts(studio);
    else await weather(studio);
  } finally {
    await studio.close();
  }
} finally {
  await server.close();
}

async function weather(studio: Studio): Promise<void> {
  const storm = { clients, operations: Number(values.operations), accounts: Number(values.accounts), seed };
  const { accounts, ...seen } = await rage(studio, { ...storm, lastsMs: Number(values.minutes) * 60_000 });
  console.log(JSON.stringify({ ...storm, seconds: secondsSoFar(), ...seen }));
  await judge(studio, accounts);
}

async function judge(studio: Studio, accounts: readonly AccountId[]): Promise<void> {
  const auditMs = performance.now();
  const { breaches, entries } = await auditLedger(studio.sql);
  console.log(JSON.stringify({ entries, audit_ms: Math.round(performance.now() - auditMs), breaches }));
  const differences: string[] = [];
  for (const account of accounts) differences.push(...(await replayJournal(studio.sql, account)).differences);
  console.log(JSON.stringify({ replayed: accounts.length, differences, seconds: secondsSoFar() }));
  if (breaches.length + differences.length > 0) process.exitCode = 1;
}

async function playScripts(studio: Studio): Promise<void> {
  const details = await fc.check(
    fc.asyncProperty(ledgerScripts(), (script) => perform(studio, script)),
    { numRuns: scripts, seed, ...(values.path === undefined ? {} : { path: values.path }) },
  );
  if (details.failed) {
    console.log(fc.defaultReportMessage(details));
    process.exitCode = 1;
  }
  console.log(JSON.stringify({ scripts: details.numRuns, seed, seconds: secondsSoFar() }));
  await judge(studio, []);
}
