/** R2: SIGKILL of a runner with its engines under a job; half of them come back at once under their own id, half never. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Row } from "../row.ts";

/** A host that dies more often than this is not what is measured. */
const ROUND_MS = 6_000;
const LATE_MS = 3_500;
const STEPS = 60;
const STEP_MS = 100;
const GIVE_UP_MS = 25_000;

export const killedRunner: Row = {
  id: "R2",
  fault: "kill -9 of a runner's host under a job",
  rounds: { full: 60, slice: 5 },
  runners: 5,
  beside: null,
  goals: [
    { name: "requeue", says: "runs under a new lease", most: 2_000, unit: "ms", kind: "time" },
    { name: "lost work", says: "work lost (interval 2 s, a step, the upload)", most: 2_500, unit: "ms", kind: "time" },
  ],
  async run(stage, rounds) {
    const { site, random, figures } = stage;
    for (let round = 0; round < rounds; round++) {
      const pause = sleep(ROUND_MS);
      const { job, epoch, runner, startedAtMs } = await stage.victim(STEP_MS, STEPS);
      await sleep(random.int(0, LATE_MS));
      const atMs = Date.now();
      runner.signal("SIGKILL");
      const again = round % 2 === 0 ? site.fleet.start({ id: runner.id }) : site.fleet.retire(runner);
      const next = await stage.redispatched(job, epoch, GIVE_UP_MS);
      if (next === null) stage.breach(`lost: ${job} did not run again within ${GIVE_UP_MS} ms`);
      else {
        figures.note("requeue", next.atMs - atMs);
        const [kept] = await site.product.sql<{ at: number }[]>`
          select (extract(epoch from c.created_at) * 1000)::float8 as at from attempt a join checkpoint c
            on c.job_id = a.job_id and c.step = a.from_step where a.job_id = ${job} and a.epoch = ${next.epoch}`;
        figures.note("lost work", Math.max(0, atMs - (kept?.at ?? startedAtMs)));
      }
      await again;
      await site.fleet.atLeast(this.runners);
      await pause;
    }
  },
};
