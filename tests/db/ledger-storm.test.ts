/** 64 clients at once on real PostgreSQL: nothing is overdrawn, every rule holds, and the calculator finds the same balances. */
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { auditLedger } from "#control-plane/usecase/audit-ledger.ts";
import { replayJournal } from "#tests/support/journal-replay.ts";
import { ledgerScripts, perform } from "#tests/support/ledger-script.ts";
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
  const [seen] = await studio.sql<{ forfeited: number; madeGood: number }[]>`
    select count(*) filter (where kind = 'expired' and from_book = 'held')::int as forfeited,
      count(*) filter (where kind = 'make_good')::int as made_good
    from credit_entry`;
  expect(seen?.forfeited).toBeGreaterThan(0);
  expect(seen?.madeGood).toBeGreaterThan(0);
  expect(await auditLedger(studio.sql)).toMatchObject({ breaches: [], rules: 15 });
  for (const account of accounts) {
    const replay = await replayJournal(studio.sql, account);
    expect(replay.differences).toEqual([]);
    expect(replay.occasions).toBeGreaterThan(100);
  }
}, 120_000);

test("200 short lives of an account end with the calculator's balances, and nothing was refused that could be paid", async () => {
  await fc.assert(
    fc.asyncProperty(ledgerScripts(), (script) => perform(studio, script)),
    { numRuns: 200 },
  );
  expect((await auditLedger(studio.sql)).breaches).toEqual([]);
}, 120_000);
