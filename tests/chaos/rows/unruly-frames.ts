/** R9: frames between runners and the leader come twice, late and out of order; nothing may happen twice or be lost by it. */
import { until } from "#tests/support/product.ts";
import { FrameProxy, type Tamper } from "../frame-proxy.ts";
import type { Random } from "../random.ts";
import type { Row } from "../row.ts";
import type { Stage } from "../stage.ts";

const RUNNERS = 4;
const TWICE = 0.2;
const LATE = 0.2;
const LATE_MS = 800;
const STEPS = 12;
const END_MS = 120_000;

export const unrulyFrames: Row = {
  id: "R9",
  fault: "runner frames twice (p 0.2), late by ≤ 0.8 s and out of order (p 0.2)",
  rounds: { full: 40, slice: null },
  runners: 0,
  beside: null,
  goals: [
    { name: "unfinished", says: "videos that did not complete", most: 0, unit: "", kind: "safety" },
    { name: "repeated", says: "videos that needed another attempt", most: 0, unit: "", kind: "time" },
  ],
  async run(stage, rounds) {
    const { site, random } = stage;
    await site.fleet.close();
    const tamper = unruly(random.fork("frames"));
    const proxies = await Promise.all(
      Array.from({ length: RUNNERS }, () => Promise.all(site.replicas.map(({ port }) => FrameProxy.to(port, tamper)))),
    );
    try {
      await Promise.all(
        proxies.map((own) => site.fleet.start({ id: site.fleet.freshId(), dials: own.map(({ port }) => port) })),
      );
      const jobs = await Promise.all(Array.from({ length: rounds }, () => stage.submit("!idle=100 a pier", STEPS)));
      await ended(stage, jobs);
      const all = proxies.flat();
      const [delivered, tampered] = [sum(all.map((one) => one.delivered)), sum(all.map((one) => one.tampered))];
      stage.notes.push(`${tampered} of ${delivered} frames were sent twice or late`);
    } finally {
      await site.fleet.close();
      await Promise.all(proxies.flat().map((proxy) => proxy.close()));
      await site.fleet.atLeast(RUNNERS);
    }
  },
};

function unruly(random: Random): Tamper {
  return (_direction, kind) => {
    // A socket begins with these; before them there is no order that could be disturbed.
    if (kind === "hello" || kind === "welcome") return [0];
    const first = random.chance(LATE) ? random.int(1, LATE_MS) : 0;
    return random.chance(TWICE) ? [first, random.int(0, LATE_MS)] : [first];
  };
}

async function ended(stage: Stage, jobs: readonly string[]): Promise<void> {
  const { sql } = stage.site.product;
  await until("all have ended", END_MS, async () => {
    const rows = await sql`select 1 from job where id = any(${[...jobs]}) and finished_at is null limit 1`;
    return rows.length === 0;
  });
  const rows = await sql<{ id: string; state: string; attempts: number }[]>`
    select id, state, attempts from job where id = any(${[...jobs]})`;
  stage.figures.note("unfinished", rows.filter(({ state }) => state !== "completed").length);
  stage.figures.note("repeated", rows.filter(({ attempts }) => attempts > 1).length);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
