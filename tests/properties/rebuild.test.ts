/**
 * I12: a new leader, fed with what Postgres holds, decides as the old one would have.
 *
 * What a new leader may not know, and what is kept out of the comparison: how long a head has been blocked, reservations and
 * the preemption budget (they start anew); which weights are resident (nothing loads here); what was given back since
 * the last dispatch, and the debt to an account that virtual time has passed by (neither is stored: they are compared where
 * there is none); when an account or tier last came back, which bounds what is given back of older jobs (here nothing is
 * given back after the change of leader).
 */
import fc from "fast-check";
import { isDeepStrictEqual } from "node:util";
import { expect, test } from "vitest";
import { check } from "./check.ts";
import { history } from "./command.ts";
import type { CommandKind } from "./command.ts";
import { rebuilt } from "./rebuilt.ts";
import { COST, RUNNERS, TIER_NAMES, variantOf } from "./studio.ts";
import { Twin } from "./twin.ts";
import { World } from "./world.ts";

const [RUNNER] = RUNNERS;
if (RUNNER === undefined) throw new Error("The studio has no runner.");
const NEVER = { reserveAfterMs: Infinity, preemptAfterMs: Infinity, slackMax: 0, skipMs: 0 };
/** Every job fits wherever a device is free, and nothing is ever warm: nobody is passed by, no place is better than another. */
const ALIKE = Array.from({ length: 6 }, (_, n) => ({
  ...RUNNER,
  id: `s${n}`,
  devices: [{ id: `s${n}.0`, vramBytes: 80 * 2 ** 30, slots: 1 }],
}));
/** Of constant shares: what is given back of a job that another leader dispatched is reckoned at today's share. */
const TIERS = TIER_NAMES.map((name) => ({ ...variantOf(name, 0), shareMin: 6, shareMax: 6 }));
const NO_LOADS = { ...COST, loadMs: () => 0 };
const BEFORE: readonly CommandKind[] = ["submit", "pass", "withdraw", "cancel", "break", "runner", "report"];
const AFTER: readonly CommandKind[] = ["submit", "pass", "withdraw"];

function histories(kinds: readonly CommandKind[], commandsMax: number): ReturnType<typeof history> {
  return history({ kinds, classes: ["small", "rigid"], commandsMax });
}

test("a new leader decides as the old one would have", () => {
  let compared = 0;
  check(
    300,
    fc.property(histories(BEFORE, 60), histories(AFTER, 40), (before, after) => {
      const world = new World({ limits: NEVER, runners: ALIKE, tiers: TIERS, cost: NO_LOADS }).play(before);
      if (!isStored(world)) return;
      const twin = new Twin(world.leader, rebuilt(world));
      world.leader = twin;
      world.play(after);
      compared += twin.compared;
    }),
  );
  expect(compared, "placements were compared").toBeGreaterThan(500);
});

test("what another leader charged and does not run is given back by the new one", () => {
  const world = new World({ limits: NEVER, runners: ALIKE.slice(1), cost: NO_LOADS });
  for (let n = 0; n < 4; n++) world.submit({ account: "a3", class: "small", steps: 100, weights: "w" });
  world.settle();
  const tagOf = (account: string) => world.clock().accounts.find((known) => known.account === account)?.tag;
  expect(tagOf("a3")).toBe(75_000_000);
  world.do({ t: "takeover" });
  expect(tagOf("a3")).toBe(75_000_000);
  // Ten of its hundred steps have run.
  world.do({ t: "pass", ms: 10_000 });
  world.do({ t: "cancel", pick: 0 });
  expect(tagOf("a3"), "a tenth of the first, and the fourth that starts in its place").toBe(77_500_000);
});

/** Whether Postgres holds every tag as it stands, and no account that waits is owed anything. */
function isStored(world: World): boolean {
  const clock = world.clock();
  const waits = new Set([...world.waiting.values()].map(({ account }) => account));
  const tiers = clock.tiers.every((tier) => isDeepStrictEqual(world.stored.tiers.get(tier.tier), tier));
  const accounts = clock.accounts.every(({ account, tag }) => {
    const virtual = clock.tiers.find(({ tier }) => tier === world.accounts.get(account))?.virtual ?? 0;
    const stored = world.stored.tags.get(account) ?? virtual;
    return Math.max(stored, virtual) === (waits.has(account) ? tag : Math.max(tag, virtual));
  });
  return tiers && accounts;
}
