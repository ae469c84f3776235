/** Histories that once broke a law, as small as fast-check made them. */
import { expect, test } from "vitest";
import type { Command } from "./command.ts";
import { ALWAYS, KeptReservations, NoBanking } from "./laws.ts";
import { fallingPotential } from "./preemption-laws.ts";
import type { Laws } from "./world.ts";
import { World } from "./world.ts";

const submit = (account: string, classId: string, steps: number, count: number, weights = "w0"): Command => ({
  t: "submit",
  account,
  class: classId,
  steps,
  count,
  weights,
});
const pass = (ms: number): Command => ({ t: "pass", ms });
const runner = (id: string, up: boolean): Command => ({ t: "runner", runner: id, up });

const FOUND: readonly (readonly [string, readonly Laws[], readonly Command[]])[] = [
  [
    "what was freed for a job is taken by it although the one that was pushed aside is the head of the class again",
    ALWAYS,
    [submit("a0", "gang", 80, 1), submit("a1", "gang", 51, 1), submit("a6", "gang", 1, 1), pass(10_125)],
  ],
  [
    "nothing stays reserved for a job whose account has reached its cap with another",
    [...ALWAYS, new KeptReservations()],
    [
      submit("a0", "gang", 80, 1),
      submit("a0", "small", 3, 1),
      submit("a6", "wide", 28, 4),
      pass(14_675),
      submit("a3", "wide", 76, 3, "w1"),
      submit("a3", "gang", 12, 2, "w1"),
      pass(4_450),
      submit("a6", "gang", 16, 2),
      submit("a0", "small", 19, 2, "w1"),
      pass(22_001),
    ],
  ],
  [
    "an account that moves to another tier takes along what it runs",
    ALWAYS,
    [
      { t: "move", account: "a6", tier: "free" },
      submit("a6", "small", 1, 1),
      { t: "move", account: "a6", tier: "pro" },
      submit("a0", "small", 1, 1),
      { t: "terms", tier: "free", variant: 1 },
      submit("a0", "small", 1, 3),
      pass(2_997),
      pass(3),
      submit("a2", "small", 1, 2),
    ],
  ],
  [
    "what a victim gets back is reckoned by its steps, not by the time that its weights took to load",
    [...ALWAYS, fallingPotential],
    [submit("a0", "gang", 80, 1), submit("a4", "small", 83, 2), submit("a3", "gang", 73, 2), pass(642), pass(9_358)],
  ],
  [
    "two jobs that are lost together give back no more than virtual time has left of them",
    [new NoBanking()],
    [submit("a5", "small", 1, 2), runner("r3", false)],
  ],
];

test.each(FOUND)("%s", (_name, laws, commands) => {
  const world = new World({ laws }).play(commands);
  expect(world.drain(world.nowMs + 10_000_000), "and everything ends").toBe(true);
});
