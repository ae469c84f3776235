/** A slice of `npm run sim:cycles`, which plays 10^5 seeds every night. */
import { expect, test } from "vitest";
import { preemptionsIn } from "./cycles.ts";

const SEEDS = 600;

test("nobody pushes back the one that pushed it aside, in hundreds of seeds", () => {
  let preemptions = 0;
  for (let seed = 1; seed <= SEEDS; seed++) preemptions += preemptionsIn(seed);
  expect(preemptions, "the histories hold preemptions").toBeGreaterThan(SEEDS / 2);
});
