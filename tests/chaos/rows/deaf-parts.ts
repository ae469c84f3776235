/**
 * R19: a runner whose heartbeats pass but who hears no work, and a database session that sits on the locks of a row. The deaf one
 * must leave the rotation, and no loop may wait for the lock.
 */
import { setTimeout as sleep } from "node:timers/promises";
import postgres from "postgres";
import { FrameProxy } from "../frame-proxy.ts";
import type { Row } from "../row.ts";
import type { Stage } from "../stage.ts";

const WATCH_MS = 20_000;
const LOCKED_MS = 8_000;
const JOBS = 40;
const HEARD: ReadonlySet<string> = new Set(["welcome", "renewed"]);

export const deafParts: Row = {
  id: "R19",
  fault: "deaf runner (beats pass, work does not); session that sits on a running job's lock",
  rounds: { full: 3, slice: null },
  runners: 3,
  beside: null,
  goals: [
    { name: "deaf", says: "work was still given to the deaf one", most: 5_000, unit: "ms", kind: "time" },
    { name: "stall", says: "longest time without a dispatch beside the lock", most: 10_000, unit: "ms", kind: "time" },
  ],
  async run(stage, rounds) {
    for (let round = 0; round < rounds; round++) {
      await deafRunner(stage);
      await heldLock(stage);
    }
  },
};

async function deafRunner(stage: Stage): Promise<void> {
  const { fleet, replicas, witness } = stage.site;
  const proxies = await Promise.all(
    replicas.map(({ port }) =>
      FrameProxy.to(port, (way, kind) => (way === "to_runner" && !HEARD.has(kind) ? [] : [0])),
    ),
  );
  const deaf = await fleet.start({ id: fleet.freshId(), dials: proxies.map(({ port }) => port) });
  try {
    await Promise.all(Array.from({ length: JOBS }, () => stage.submit("!idle=300 a pier", 3)));
    await sleep(WATCH_MS);
    const given = await witness.dispatchesTo(deaf.id);
    stage.notes.push(`the deaf runner was given ${given.length} attempts in ${WATCH_MS} ms`);
    const [first, last] = [given[0], given.at(-1)];
    if (first !== undefined && last !== undefined) stage.figures.note("deaf", last.atMs - first.atMs);
  } finally {
    await fleet.retire(deaf);
    await Promise.all(proxies.map((proxy) => proxy.close()));
  }
}

/** The load goes on meanwhile: its dispatches are what is watched. */
async function heldLock(stage: Stage): Promise<void> {
  const { site } = stage;
  const { job } = await stage.victim(500, 30);
  const session = postgres(site.product.dev.database_url, { max: 1, onnotice: () => undefined });
  const fromMs = Date.now();
  try {
    await session.begin(async (tx) => {
      await tx`select 1 from job where id = ${job} for update`;
      await sleep(LOCKED_MS);
    });
  } finally {
    await session.end();
  }
  const crowd = [...stage.accountIds];
  const [row] = await site.product.sql<{ gap: number }[]>`
    with seen as (select d.at from chaos.dispatch d join job j on j.id = d.job where j.account_id = any(${crowd})
        and d.at >= to_timestamp(${fromMs / 1_000})
      union all select to_timestamp(${fromMs / 1_000}) union all select clock_timestamp())
    select max(gap)::float8 as gap from (select extract(epoch from at - lag(at) over (order by at)) * 1000 as gap from seen) g`;
  stage.figures.note("stall", row?.gap ?? Infinity);
}
