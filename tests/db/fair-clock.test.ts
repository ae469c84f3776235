import { afterAll, beforeAll, expect, test } from "vitest";
import { saveClock } from "#control-plane/db/fair-clock.ts";
import { meetAccounts, storedClocks } from "#control-plane/usecase/lead.ts";
import { Studio } from "#tests/support/studio.ts";
import { aQueuedJob, aScheduler } from "#tests/support/toy-studio.ts";

let studio: Studio;
beforeAll(async () => {
  studio = await Studio.open();
});
afterAll(() => studio.close());

test("after a change of leader every account and tier stands where it stood", async () => {
  const [heavy, light] = [await studio.account("pro"), await studio.account("free")];
  const before = aScheduler([2], { [heavy]: "pro", [light]: "free" });
  for (let n = 0; n < 12; n++) before.apply({ t: "queued", job: aQueuedJob(n, n === 11 ? light : heavy) }, n);
  for (let turn = 0; turn < 8; turn++) {
    for (const decision of before.decide(turn, 1)) {
      if (decision.t !== "place") continue;
      before.apply({ t: "committed", job: decision.job.id }, turn);
      before.apply({ t: "ended", job: decision.job.id, stepsRun: 10 }, turn);
    }
  }
  const clock = before.clock([heavy, light]);
  expect(clock.accounts.find(({ account }) => account === heavy)?.tag).toBeGreaterThan(0);
  await studio.sql.begin((tx) => saveClock(tx, clock));

  // A new leader: tiers and their clocks first, then accounts as they are met.
  const after = aScheduler([2], {});
  for (const stored of await storedClocks(studio.sql)) after.apply({ t: "tier_clock", clock: stored }, 0);
  for (const met of await meetAccounts(studio.sql, [heavy, light])) after.apply({ t: "account", ...met }, 0);
  expect(after.clock([heavy, light])).toEqual(clock);
});

test("an account that was never dispatched is met without a tag", async () => {
  const account = await studio.account("plus");
  expect(await meetAccounts(studio.sql, [account])).toEqual([{ account, tier: "plus" }]);
});
