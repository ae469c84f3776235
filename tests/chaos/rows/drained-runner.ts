/**
 * R2 by SIGTERM: a runner is asked to go under a job. It stops at the next step, keeps beating until its checkpoint and its end are
 * recorded, and leaves by itself; the job goes on elsewhere from that very step, and nothing counts against it.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Row } from "../row.ts";
import type { Stage } from "../stage.ts";

const STEPS = 40;
const STEP_MS = 250;
const LATE_MS = 3_500;
const GIVE_UP_MS = 25_000;
const GONE_MS = 30_000;

export const drainedRunner: Row = {
  id: "R2-drain",
  fault: "SIGTERM of a runner under a job",
  rounds: { full: 20, slice: 1 },
  runners: 5,
  beside: "R2",
  goals: [
    { name: "elsewhere", says: "runs elsewhere", most: 2_000, unit: "ms", kind: "time" },
    { name: "gone", says: "the runner has left", most: 10_000, unit: "ms", kind: "time" },
    { name: "lost work", says: "work lost (a checkpoint older than the SIGTERM)", most: 0, unit: "ms", kind: "time" },
    { name: "forced", says: "runners that did not leave by themselves with 0", most: 0, unit: "", kind: "safety" },
    { name: "charged", says: "jobs against which the drain counted", most: 0, unit: "", kind: "safety" },
  ],
  async run(stage, rounds) {
    for (let round = 0; round < rounds; round++) {
      await drain(stage);
      await stage.site.fleet.atLeast(this.runners);
    }
  },
};

async function drain(stage: Stage): Promise<void> {
  const { site, random, figures } = stage;
  const { job, epoch, runner } = await stage.victim(STEP_MS, STEPS);
  await sleep(random.int(0, LATE_MS));
  const atMs = Date.now();
  runner.drain();
  const gone = stage.poll(GONE_MS, async () => (runner.ended ? Date.now() - atMs : null));
  const next = await stage.redispatched(job, epoch, GIVE_UP_MS);
  if (next === null) return stage.breach(`lost: ${job} did not run again within ${GIVE_UP_MS} ms of a drain`);
  figures.note("elsewhere", next.atMs - atMs);
  const [row] = await site.product.sql<{ kept: number | null; outcome: string; counted: number }[]>`
    select (extract(epoch from c.created_at) * 1000)::float8 as kept, ended.outcome,
      j.runner_deaths + j.engine_failures as counted
    from job j join attempt ended on ended.job_id = j.id and ended.epoch = ${epoch}
      join attempt next on next.job_id = j.id and next.epoch = ${next.epoch}
      left join checkpoint c on c.job_id = j.id and c.step = next.from_step
    where j.id = ${job}`;
  figures.note("lost work", Math.max(0, atMs - (row?.kept ?? 0)));
  const isFree = row?.outcome === "stopped" && row.counted === 0;
  figures.note("charged", isFree ? 0 : 1);
  if (!isFree) stage.notes.push(`${job}/${epoch} after a drain: ${JSON.stringify(row)}`);
  const goneMs = await gone;
  figures.note("forced", goneMs !== null && runner.exitCode === 0 ? 0 : 1);
  if (goneMs !== null) figures.note("gone", goneMs);
  await site.fleet.retire(runner);
}
