/** R4: the leader is killed or frozen. What counts is the first dispatch that a new leader commits; work is always waiting. */
import { setTimeout as sleep } from "node:timers/promises";
import { signal } from "../processes.ts";
import type { Row } from "../row.ts";
import type { Leader } from "../site.ts";
import type { Stage } from "../stage.ts";

const TAKEOVER_WAIT_MS = 30_000;
const SOON_MS = 1_500;
/** The frozen one wakes up after it was replaced, and must notice. */
const WAKE_AFTER_MS = 1_000;
const NOTICE_MS = 3_000;

export const lostLeader: Row = {
  id: "R4",
  fault: "kill -9 or SIGSTOP of the leader, 2 replicas (half of the rounds each)",
  rounds: { full: 40, slice: 2 },
  runners: 4,
  beside: null,
  goals: [
    { name: "kill", says: "first dispatch after a kill", most: 6_000, unit: "ms", kind: "time" },
    { name: "freeze", says: "first dispatch after a freeze", most: 6_000, unit: "ms", kind: "time" },
  ],
  async run(stage, rounds) {
    const { site, random, figures } = stage;
    for (let round = 0; round < rounds; round++) {
      await site.ranWell(await Promise.all(site.replicas.map((replica) => site.pidOf(replica))));
      await sleep(random.int(0, SOON_MS));
      const leader = await site.leader();
      const pid = await site.pidOf(leader.replica);
      const how = round % 2 === 0 ? "kill" : "freeze";
      const atMs = Date.now();
      signal(pid, how === "kill" ? "SIGKILL" : "SIGSTOP");
      try {
        const first = await firstDispatch(stage, leader);
        if (first === null) stage.breach(`nobody took over from epoch ${leader.epoch} in ${TAKEOVER_WAIT_MS} ms`);
        else figures.note(how, first - atMs);
        await sleep(how === "freeze" ? WAKE_AFTER_MS : 0);
      } finally {
        if (how === "freeze") signal(pid, "SIGCONT");
      }
      if (how === "kill") await site.restarted(leader.replica, pid);
      else await sleep(NOTICE_MS);
    }
  },
};

/** A job that waits for whoever leads next is there from the first moment on. */
async function firstDispatch(stage: Stage, { replica, epoch }: Leader): Promise<number | null> {
  const { site } = stage;
  const [, seen] = await Promise.all([
    stage.submit("!idle=50 a pier", 2, site.other(replica).index),
    stage.poll(TAKEOVER_WAIT_MS, () => site.witness.firstDispatchOfLeaderAfter(epoch)),
  ]);
  return seen?.atMs ?? null;
}
