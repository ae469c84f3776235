/**
 * One seed, one history of few devices and long jobs, in which jobs take half or twice as long as estimated and much may fail: how often somebody
 * was pushed aside in it.
 */
import fc from "fast-check";
import type { QueuedJob } from "#control-plane/core/scheduler/event.ts";
import { history } from "./command.ts";
import { ALWAYS, NoBanking } from "./laws.ts";
import { NoPreemptionCycle } from "./preemption-laws.ts";
import { RUNNERS } from "./studio.ts";
import { World } from "./world.ts";

const luck = ({ seq }: QueuedJob) => [1, 1, 0.5, 2][seq % 4] ?? 1;
/** Many accounts on a few devices, and a few jobs on one or two, where nobody else stirs. */
const CROWDED = {
  runners: RUNNERS.filter(({ id }) => ["r2", "r3", "r4"].includes(id)),
  histories: history({
    kinds: ["submit", "pass", "withdraw", "cancel", "break", "runner", "refuse", "takeover"],
    classes: ["small", "wide", "pair", "rigid"],
    stepsMax: 240,
    commandsMax: 100,
  }),
};
const SPARSE = {
  runners: RUNNERS.filter(({ id }) => ["r3", "r4"].includes(id)),
  histories: history({
    kinds: ["submit", "pass", "break"],
    classes: ["small"],
    stepsMax: 400,
    commandsMax: 16,
  }),
};
/** After the last command, so that what was begun is seen to its end. */
const AFTER_MS = 900_000;

/** Throws when a law is broken: above all, when somebody pushes back. */
export function preemptionsIn(seed: number): number {
  const { runners, histories } = seed % 2 === 0 ? CROWDED : SPARSE;
  const [commands = []] = fc.sample(histories, { seed, numRuns: 1 });
  const cycles = new NoPreemptionCycle();
  const world = new World({ luck, runners, reports: true, laws: [...ALWAYS, new NoBanking(), cycles] });
  world.play(commands);
  world.do({ t: "pass", ms: AFTER_MS });
  return cycles.preemptions;
}
