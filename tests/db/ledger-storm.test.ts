/** 64 clients at once on real PostgreSQL: nothing is overdrawn, every rule holds, and the calculator finds the same balances. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { auditLedger } from "#control-plane/usecase/audit-ledger.ts";
import { replayJournal } from "#tests/support/journal-replay.ts";
import { rage } from "#tests/support/ledger-storm.ts";
import { Studio } from "#tests/support/studio.ts";

let studio: Studio;
beforeAll(async () => {
  studio = await Studio.open(64);
});
afterAll(() => studio.close());

test("5,000 operations of 64 clients at once: no overdraft, a clean audit, and the balances of the calculator", async () => {
  const { accounts, tally } = await rage(studio, { clients: 64, operations: 5_000, accounts: 8, seed: 1 });
  console.info(tally);
  expect(await auditLedger(studio.sql)).toMatchObject({ breaches: [], rules: 15 });
  for (const account of accounts) {
    const replay = await replayJournal(studio.sql, account);
    expect(replay.differences).toEqual([]);
    expect(replay.occasions).toBeGreaterThan(100);
  }
}, 120_000);
