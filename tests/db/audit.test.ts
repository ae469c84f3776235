import { afterAll, beforeAll, expect, test } from "vitest";
import { auditLedger } from "#control-plane/usecase/audit-ledger.ts";
import { adjust, voidGrant } from "#control-plane/usecase/credits.ts";
import { milliCredits } from "#protocol/unit.ts";
import { Studio } from "#tests/support/studio.ts";

let studio: Studio;
beforeAll(async () => {
  studio = await Studio.open();
});
afterAll(() => studio.close());

test("smoke", async () => {
  const account = await studio.account("pro", { amount: "5" }, { amount: "0.1" });
  await studio.submitted(account);
  console.log(await adjust(studio.sql, account, milliCredits(-100n), "x", "k1"));
  console.log(await adjust(studio.sql, account, milliCredits(-100n), "x", "k1"));
  console.log(await adjust(studio.sql, account, milliCredits(-100n), "y", "k1"));
  const r = await adjust(studio.sql, account, milliCredits(100n), "x", "k2");
  if (!r.ok) throw new Error("no");
  console.log(await voidGrant(studio.sql, r.value.entries[0]!.grantId, "r", "k3"));
  console.log(await studio.sql`select * from credit_entry`);
  console.log(await auditLedger(studio.sql));
  expect(1).toBe(1);
});
