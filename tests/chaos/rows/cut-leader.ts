/** R8: the way from the leader to PostgreSQL goes silent or is cut. It must stop before its lease ends, and another lead. */
import { setTimeout as sleep } from "node:timers/promises";
import { ExtraReplica } from "../extra-replica.ts";
import type { Row } from "../row.ts";
import type { Stage } from "../stage.ts";

const WIRES = ["held", "cut"] as const;
const LEASE_MS = 5_000;
const TAKEOVER_WAIT_MS = 30_000;
const SETTLE_MS = 2_000;
const NOTICE_MS = 4_000;

export const cutLeader: Row = {
  id: "R8",
  fault: "partition leader ↔ PostgreSQL: silent, cut",
  rounds: { full: 4, slice: null },
  runners: 4,
  beside: null,
  goals: [
    { name: "stopped", says: "the leader stopped by itself", most: LEASE_MS, unit: "ms", kind: "time" },
    { name: "late", says: "stopped after its successor began by", most: 0, unit: "ms", kind: "time" },
    { name: "takeover", says: "another leads", most: 6_000, unit: "ms", kind: "time" },
  ],
  async run(stage, rounds) {
    for (let round = 0; round < rounds; round++) await cutOff(stage, round);
  },
};

async function cutOff(stage: Stage, round: number): Promise<void> {
  const { site, figures } = stage;
  const leader = await ExtraReplica.start(site, `extra-r8-${round}`);
  try {
    await site.makeLead(leader.url, await Promise.all(site.replicas.map((replica) => site.pidOf(replica))));
    await sleep(SETTLE_MS);
    const { epoch } = await reignOf(stage);
    const wire = WIRES[round % WIRES.length]!;
    const atMs = Date.now();
    leader.wire.set(wire);
    const next = await stage.poll(TAKEOVER_WAIT_MS, async () => {
      const [row] = await site.product.sql<{ atMs: number }[]>`
        select (extract(epoch from at) * 1000)::float8 as "atMs" from chaos.reign where epoch > ${epoch} limit 1`;
      return row ?? null;
    });
    if (next === null) return stage.breach(`nobody led within ${TAKEOVER_WAIT_MS} ms of ${wire}`);
    figures.note("takeover", next.atMs - atMs);
    await sleep(NOTICE_MS);
    const stoppedAtMs = await leader.saidAtMs("leading no more");
    if (stoppedAtMs === null) stage.notes.push(`${wire}: the leader did not stop within ${Date.now() - atMs} ms`);
    figures.note("stopped", (stoppedAtMs ?? Date.now()) - atMs);
    figures.note("late", Math.max(0, (stoppedAtMs ?? Date.now()) - next.atMs));
  } finally {
    await leader.stop();
  }
}

async function reignOf(stage: Stage): Promise<{ readonly epoch: number }> {
  const [row] = await stage.site.product.sql<{ epoch: number }[]>`select epoch from leader`;
  if (row === undefined) throw new Error("nobody ever led");
  return row;
}
