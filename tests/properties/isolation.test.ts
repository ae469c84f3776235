/**
 * P5: an account that already waits and queues more changes nobody's schedule, its own included, until what it had is placed.
 *
 * Classes of one shape only: how wide a gang gets may depend on the backlog, by design.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { check } from "./check.ts";
import { history } from "./command.ts";
import type { CommandKind } from "./command.ts";
import { ACCOUNT_NAMES } from "./studio.ts";
import { World } from "./world.ts";

const KINDS: readonly CommandKind[] = ["submit", "pass", "report", "runner", "terms"];
const commands = history({ kinds: KINDS, classes: ["small", "rigid", "gang"] });

/** With strict turns: where a shorter or warmer job may go first, one more in the line may be that job. */
const STRICT = { limits: { skipMs: 0 } };

test("an account that queues more behind its own jobs changes nobody's schedule", () => {
  let entries = 0;
  check(
    300,
    fc.property(
      commands,
      fc.nat(60),
      fc.constantFrom(...ACCOUNT_NAMES),
      fc.integer({ min: 1, max: 40 }),
      (...drawn) => {
        const [all, at, account, count] = drawn;
        const [alone, crowded] = [new World(STRICT), new World(STRICT)];
        alone.play(all.slice(0, at));
        crowded.play(all.slice(0, at));
        const own = [...alone.waiting.values()].filter((job) => job.account === account);
        const [first] = own;
        if (first === undefined) return;
        const before = own.filter((job) => job.class === first.class).map(({ id }) => id);
        const flood = { account, class: first.class, steps: 50, weights: "w0" };
        for (let n = 0; n < count; n++) crowded.submit(flood, "flood");
        crowded.settle();
        alone.settle();
        for (const command of all.slice(at)) {
          for (const world of [alone, crowded]) world.do(command);
          // Until what it had is placed; a command may end in the middle of that.
          if (!before.some((id) => alone.waiting.has(id))) break;
          entries += alone.log.length;
          expect(crowded.log).toEqual(alone.log);
        }
      },
    ),
  );
  expect(entries, "schedules were compared").toBeGreaterThan(1_000);
});
