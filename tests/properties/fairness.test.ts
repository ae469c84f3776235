/** P1 to P4 and P6 of fairness: how far apart equals can get, and what is charged. P4 is in invariants.test.ts. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { TierTerms } from "#control-plane/core/scheduler/event.ts";
import { check } from "./check.ts";
import { history } from "./command.ts";
import { EvenDispatch, EvenReceived, EvenSinceJoining, ExactCharge } from "./service.ts";
import { RUNNERS, TIER_VARIANTS } from "./studio.ts";
import { World } from "./world.ts";

const UNCAPPED: readonly TierTerms[] = Object.values(TIER_VARIANTS).flatMap(([terms]) =>
  terms === undefined ? [] : [{ ...terms, accountRunningMax: 1_000, tierRunningMax: 1_000 }],
);
const STEPS_MAX = 100;
const COSTLIEST_MS = STEPS_MAX * 1_000;
const NEVER = { reserveAfterMs: Infinity, preemptAfterMs: Infinity, skipMs: 0 };
/** Runners alike, so that one job fits wherever another does. */
const ALIKE = RUNNERS.filter(({ gpu, devices: [first] }) => gpu === "fast" && (first?.vramBytes ?? 0) > 2 ** 36);

/** A queue for every account, long enough that all wait for a while. */
const queues = fc.array(fc.integer({ min: 1, max: STEPS_MAX }), { minLength: 100, maxLength: 300, size: "max" });

function crowd(steps: readonly number[], options: ConstructorParameters<typeof World>[0]): World {
  const world = new World({ limits: NEVER, tiers: UNCAPPED, runners: ALIKE.slice(1), ...options });
  const accounts = [...world.accounts.keys()];
  steps.forEach((count, n) =>
    world.submit({ account: accounts[n % accounts.length] ?? "", class: "small", steps: count, weights: "w" }),
  );
  world.settle();
  return world;
}

describe("accounts that always wait", () => {
  test("are never further apart than the costliest job over the least weight, and so are tiers (P1)", () => {
    let worst = 0;
    check(
      60,
      fc.property(queues, (steps) => {
        const law = new EvenDispatch({ costliestMs: COSTLIEST_MS });
        crowd(steps, { laws: [law] }).do({ t: "pass", ms: 10_000_000 });
        worst = Math.max(worst, law.worst);
      }),
    );
    expect(worst, "the bound is nearly reached, so it is not an idle one").toBeGreaterThan(0.5);
  });

  test("are never further apart than that and what may be skipped, where shorter jobs may go first", () => {
    let worst = 0;
    const skipMs = 30_000;
    check(
      60,
      fc.property(queues, (steps) => {
        const law = new EvenDispatch({ costliestMs: COSTLIEST_MS, skipMs });
        crowd(steps, { limits: { ...NEVER, skipMs }, laws: [law] }).do({ t: "pass", ms: 10_000_000 });
        worst = Math.max(worst, law.worst);
      }),
    );
    expect(worst).toBeGreaterThan(0.5);
  });

  test("receive alike on many devices, to the bound for as many servers (P3)", () => {
    let worst = 0;
    check(
      40,
      fc.property(queues, (steps) => {
        const law = new EvenReceived({ costliestMs: COSTLIEST_MS });
        crowd(steps, { laws: [law] }).do({ t: "pass", ms: 10_000_000 });
        worst = Math.max(worst, law.worst);
      }),
    );
    expect(worst).toBeGreaterThan(0);
  });
});

test("whoever comes and goes, two accounts that both wait are never two jobs apart (P2)", () => {
  let worst = 0;
  check(
    200,
    fc.property(
      history({ kinds: ["submit", "pass", "withdraw"], classes: ["small"], stepsMax: STEPS_MAX }),
      (commands) => {
        const law = new EvenSinceJoining({ costliestMs: COSTLIEST_MS });
        new World({ limits: NEVER, tiers: UNCAPPED, runners: ALIKE.slice(1), laws: [law] }).play(commands);
        worst = Math.max(worst, law.worst);
      },
    ),
  );
  expect(worst, "somebody leads by about a job").toBeGreaterThan(0.8);
});

test("an account is charged what was run of its jobs, whatever breaks, is cancelled, pushed aside or refused (P6)", () => {
  let attempts = 0;
  check(
    100,
    fc.property(
      history({ kinds: ["pass", "cancel", "break", "refuse", "runner", "report"], commandsMax: 40 }),
      (commands) => {
        const law = new ExactCharge();
        const steps = Array.from({ length: 150 }, (_, n) => 1 + ((n * 37) % STEPS_MAX));
        crowd(steps, { limits: {}, accounts: { a0: "free", a3: "plus", a5: "pro" }, laws: [law] }).play(commands);
        attempts += law.attempts;
      },
    ),
  );
  expect(attempts).toBeGreaterThan(1_000);
});
