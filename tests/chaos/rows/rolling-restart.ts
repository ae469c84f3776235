/** R5: both replicas are restarted by SIGTERM one after the other, under load, while one client never reads and one never finishes. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { signal } from "../processes.ts";
import type { Row } from "../row.ts";
import type { Leader, Replica } from "../site.ts";
import type { Stage } from "../stage.ts";

const DRAIN_WAIT_MS = 30_000;
const GAP_WAIT_MS = 30_000;
const BETWEEN_MS = 2_000;
const LONG_JOBS = 2;

export const rollingRestart: Row = {
  id: "R5",
  fault: "SIGTERM of both replicas in turn under load, one socket never reads",
  rounds: { full: 5, slice: 1 },
  runners: 6,
  beside: null,
  goals: [
    { name: "failed", says: "calls failed after one client retry", most: 0, unit: "", kind: "time" },
    { name: "broken", says: "attempts broken", most: 0, unit: "", kind: "time" },
    { name: "gap", says: "no dispatch after the leader's SIGTERM", most: 1_000, unit: "ms", kind: "time" },
    { name: "drain", says: "gone after SIGTERM", most: 10_000, unit: "ms", kind: "time" },
  ],
  async run(stage, rounds) {
    const { site, figures, history } = stage;
    for (let round = 0; round < rounds; round++) {
      await site.ranWell(await Promise.all(site.replicas.map((replica) => site.pidOf(replica))));
      const running = await Promise.all(Array.from({ length: LONG_JOBS }, () => stage.victim(500, 50)));
      const failedBefore = history.failedCalls.length;
      const beganAtMs = Date.now();
      for (const replica of site.replicas) await restart(stage, replica);
      figures.note("failed", history.failedCalls.length - failedBefore);
      figures.note("broken", await lostSince(stage, beganAtMs));
      for (const call of history.failedCalls.slice(failedBefore)) stage.notes.push(`failed: ${call}`);
      await Promise.all(running.map(({ job }) => stage.cancel(job)));
    }
  },
};

async function restart(stage: Stage, replica: Replica): Promise<void> {
  const { site, figures } = stage;
  const stuck = await stuckClients(replica.port);
  const leader = await site.leader();
  const pid = await site.pidOf(replica);
  const atMs = Date.now();
  signal(pid, "SIGTERM");
  const gap = leader.replica === replica ? dispatchGap(stage, leader, atMs) : Promise.resolve();
  const drained = await site.gone(pid, DRAIN_WAIT_MS);
  if (drained === null) stage.breach(`${replica.name} was there ${DRAIN_WAIT_MS} ms after SIGTERM`);
  else figures.note("drain", drained);
  await gap;
  await site.restarted(replica, pid);
  for (const socket of stuck) socket.destroy();
  await sleep(BETWEEN_MS);
}

async function dispatchGap(stage: Stage, { replica, epoch }: Leader, atMs: number): Promise<void> {
  const { site, figures } = stage;
  const [, first] = await Promise.all([
    stage.submit("!idle=50 a pier", 2, site.other(replica).index),
    stage.poll(GAP_WAIT_MS, () => site.witness.firstDispatchOfLeaderAfter(epoch)),
  ]);
  if (first === null) stage.breach(`nobody took over from epoch ${epoch} in ${GAP_WAIT_MS} ms`);
  else figures.note("gap", first.atMs - atMs);
}

/** One never reads what it asked for, one never sends what it announced. */
async function stuckClients(port: number): Promise<readonly Socket[]> {
  const asks = [
    "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n".repeat(200),
    "POST /edge/v1/videos HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{",
  ];
  return Promise.all(
    asks.map(async (ask) => {
      const socket = connect(port, "127.0.0.1");
      socket.on("error", () => undefined); // The drain ends it.
      await once(socket, "connect");
      socket.pause();
      socket.write(ask);
      return socket;
    }),
  );
}

async function lostSince(stage: Stage, sinceMs: number): Promise<number> {
  const rows = await stage.site.product.sql`
    select a.job_id from attempt a join job j on j.id = a.job_id where j.account_id = any(${[...stage.accountIds]})
      and a.outcome = 'lost' and a.ended_at >= to_timestamp(${sinceMs / 1_000})`;
  for (const row of rows) stage.notes.push(`broken attempt of ${row["job_id"]}`);
  return rows.length;
}
