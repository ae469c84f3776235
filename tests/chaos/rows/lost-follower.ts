/** R4, the other replica: a follower is killed or frozen. Nobody else leads for it, work goes on, and calls find the replica that answers. */
import { setTimeout as sleep } from "node:timers/promises";
import { signal } from "../processes.ts";
import type { Row } from "../row.ts";
import type { Stage } from "../stage.ts";

const SOON_MS = 1_500;
/** Longer than the lease of a leader. */
const FROZEN_MS = 8_000;
const NOTICE_MS = 3_000;
const START_MS = 20_000;

export const lostFollower: Row = {
  id: "R4-follower",
  fault: "kill -9 or SIGSTOP (8 s) of the follower (half of the rounds each)",
  rounds: { full: 10, slice: null },
  runners: 4,
  beside: null,
  goals: [
    { name: "starts", says: "a job that comes meanwhile starts", most: 1_000, unit: "ms", kind: "time" },
    { name: "failed", says: "calls failed after one client retry", most: 0, unit: "", kind: "time" },
    {
      name: "slowest",
      says: "slowest call (one try at the frozen one lasts 5 s)",
      most: 6_000,
      unit: "ms",
      kind: "time",
    },
    { name: "reigns", says: "takeovers", most: 0, unit: "", kind: "time" },
  ],
  async run(stage, rounds) {
    for (let round = 0; round < rounds; round++) await lose(stage, round % 2 === 0 ? "kill" : "freeze");
  },
};

async function lose(stage: Stage, how: "kill" | "freeze"): Promise<void> {
  const { site, random, figures, history } = stage;
  await site.ranWell(await Promise.all(site.replicas.map((replica) => site.pidOf(replica))));
  await sleep(random.int(0, SOON_MS));
  const leader = await site.leader();
  const follower = site.other(leader.replica);
  const pid = await site.pidOf(follower);
  const failedBefore = history.failedCalls.length;
  const atMs = Date.now();
  signal(pid, how === "kill" ? "SIGKILL" : "SIGSTOP");
  try {
    const job = await stage.submit("!idle=50 a pier", 2, leader.replica.index);
    const submittedMs = Date.now();
    const first = await stage.redispatched(job, 0, START_MS);
    if (first === null) stage.breach(`${job} did not start within ${START_MS} ms beside a lost follower`);
    else figures.note("starts", Math.max(0, first.atMs - submittedMs));
    if (how === "freeze") await sleep(FROZEN_MS);
  } finally {
    if (how === "freeze") signal(pid, "SIGCONT");
  }
  if (how === "kill") await site.restarted(follower, pid);
  await sleep(NOTICE_MS);
  figures.note("failed", history.failedCalls.length - failedBefore);
  for (const call of history.failedCalls.slice(failedBefore)) stage.notes.push(`${how}, failed: ${call}`);
  figures.note("reigns", (await site.leader()).epoch - leader.epoch);
  const calls = history.operations.filter(({ invokedAtMs, endedAtMs }) => invokedAtMs >= atMs && endedAtMs !== null);
  figures.note("slowest", Math.max(0, ...calls.map((call) => (call.endedAtMs ?? 0) - call.invokedAtMs)));
}
