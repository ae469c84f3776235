/** R3: a host is frozen beyond its lease and wakes up as a zombie: its job is elsewhere, and it must stop and write nothing. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Row } from "../row.ts";
import type { Stage, Victim } from "../stage.ts";

/** Frozen at the same time, each on a host of its own: they only wait. */
const AT_ONCE = 4;
const STEP_MS = 1_000;
const STEPS = 20;
const LATE_MS = 4_000;
const REASSIGN_WAIT_MS = 30_000;
const ZOMBIE_WAIT_MS = 10_000;

export const frozenRunner: Row = {
  id: "R3",
  fault: "SIGSTOP of a runner's host beyond its lease, then SIGCONT",
  rounds: { full: 20, slice: 1 },
  runners: 2 * AT_ONCE + 2,
  beside: null,
  goals: [
    { name: "reassigned", says: "runs elsewhere", most: 17_000, unit: "ms", kind: "time" },
    { name: "zombie", says: "the zombie drops its attempt after waking", most: 1_000, unit: "ms", kind: "time" },
  ],
  async run(stage, rounds) {
    for (let done = 0; done < rounds; done += AT_ONCE) {
      const count = Math.min(AT_ONCE, rounds - done);
      const victims = await Promise.all(Array.from({ length: count }, () => stage.victim(STEP_MS, STEPS)));
      await Promise.all(victims.map((victim) => freeze(stage, victim)));
    }
  },
};

async function freeze(stage: Stage, { job, epoch, runner }: Victim): Promise<void> {
  await sleep(stage.random.int(0, LATE_MS));
  const atMs = Date.now();
  runner.signal("SIGSTOP");
  const next = await stage.redispatched(job, epoch, REASSIGN_WAIT_MS);
  const wokenAt = performance.now();
  runner.signal("SIGCONT");
  if (next === null) return stage.breach(`lost: ${job} did not run elsewhere within ${REASSIGN_WAIT_MS} ms`);
  stage.figures.note("reassigned", next.atMs - atMs);
  const dropped = await stage.poll(ZOMBIE_WAIT_MS, async () => ((await runner.holds(job, epoch)) ? null : true));
  if (dropped === null) stage.breach(`the zombie ${runner.id} held ${job}/${epoch} ${ZOMBIE_WAIT_MS} ms after waking`);
  else stage.figures.note("zombie", performance.now() - wokenAt);
}
