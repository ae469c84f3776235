/** R1: SIGKILL of a control plane, or of both at once, at random points under twenty clients. */
import { setTimeout as sleep } from "node:timers/promises";
import { signal } from "../processes.ts";
import type { Row } from "../row.ts";

/** Every so many rounds nobody is left to answer. */
const BOTH_EVERY = 5;
const SOON_MS = 1_500;

export const killedControlPlane: Row = {
  id: "R1",
  fault: "kill -9 of one or both control planes under 20 clients",
  rounds: { full: 200, slice: 5 },
  runners: 4,
  beside: null,
  goals: [{ name: "back", says: "answers again", most: 3_000, unit: "ms", kind: "time" }],
  async run({ site, random, figures }, rounds) {
    for (let round = 0; round < rounds; round++) {
      const victims = round % BOTH_EVERY === 0 ? site.replicas : [site.replicas[round % site.replicas.length]!];
      const pids = await Promise.all(victims.map((replica) => site.pidOf(replica)));
      await site.ranWell(pids);
      await sleep(random.int(0, SOON_MS));
      const atMs = Date.now();
      for (const pid of pids) signal(pid, "SIGKILL");
      const backs = await Promise.all(victims.map((replica) => site.backAfter(replica, atMs)));
      for (const back of backs) figures.note("back", back);
      await Promise.all(victims.map((replica, index) => site.restarted(replica, pids[index]!)));
    }
  },
};
