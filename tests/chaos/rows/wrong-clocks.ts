/**
 * R10: wall clocks are wrong: runners by an hour, the leader by five minutes, the signer of the edge's calls by ten. Leases, order and
 * retries follow the database and monotonic clocks; a call signed at the wrong time is refused and told the right one.
 */
import { fileURLToPath } from "node:url";
import { EdgeCaller } from "../edge-caller.ts";
import { ExtraReplica } from "../extra-replica.ts";
import type { Row } from "../row.ts";
import type { Stage } from "../stage.ts";

const SKEW = fileURLToPath(new URL("../skewed-clock.ts", import.meta.url));
const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
const STEP_MS = 250;
const STEPS = 24;
const END_MS = 60_000;
const AGAIN_WAIT_MS = 30_000;

export const wrongClocks: Row = {
  id: "R10",
  fault: "clocks: runners ±1 h, the leader ±5 min, the edge's signature ±10 min",
  rounds: { full: 2, slice: null },
  runners: 4,
  beside: null,
  goals: [
    {
      name: "accepted",
      says: "calls signed 10 min off that were not refused with the time",
      most: 0,
      unit: "",
      kind: "safety",
    },
    {
      name: "requeue",
      says: "a killed runner's job runs again, the leader's clock wrong",
      most: 2_000,
      unit: "ms",
      kind: "time",
    },
    { name: "next leader", says: "waiting job starts under the next leader", most: 6_000, unit: "ms", kind: "time" },
    { name: "repeated", says: "undisturbed videos with another attempt", most: 0, unit: "", kind: "time" },
  ],
  async run(stage, rounds) {
    for (let round = 0; round < rounds; round++) {
      const sign = round % 2 === 0 ? 1 : -1;
      for (const skewMs of [10 * MINUTE_MS, -10 * MINUTE_MS]) await signedWrongly(stage, skewMs);
      await leaderOff(stage, sign * 5 * MINUTE_MS);
    }
  },
};

async function signedWrongly(stage: Stage, skewMs: number): Promise<void> {
  const { site, victims, figures } = stage;
  const off = new EdgeCaller(site.secrets.edge_secret, [], skewMs);
  for (const { url } of site.replicas) {
    const said = await off.once(url, { method: "GET", path: "/videos?limit=1&order=desc", account: victims.id });
    const text = JSON.stringify(said.body);
    const told = said.status === 401 && text.includes("clock_skew") && /"server_time_ms":\d{13}\b/.test(text);
    figures.note("accepted", told ? 0 : 1);
    if (!told) stage.notes.push(`signed ${skewMs} ms off: ${said.status} ${text}`);
  }
}

/** A leader whose clock is off, with runners whose clocks are off the other way and back. */
async function leaderOff(stage: Stage, skewMs: number): Promise<void> {
  const { site, figures } = stage;
  await site.fleet.close();
  const leader = await ExtraReplica.start(site, `extra-r10-${skewMs}`, skewMs);
  try {
    const dials = [leader.port, ...site.replicas.map(({ port }) => port)];
    const skews = [HOUR_MS, -HOUR_MS, 0, HOUR_MS, -HOUR_MS];
    await site.makeLead(leader.url, await Promise.all(site.replicas.map((replica) => site.pidOf(replica))));
    await Promise.all(skews.map((ownMs) => site.fleet.start(skewed(site.fleet.freshId(), dials, ownMs))));
    // 1. Nothing is disturbed but the clocks.
    const calm = await Promise.all([stage.victim(STEP_MS, STEPS), stage.victim(STEP_MS, STEPS)]);
    for (const { job, epoch } of calm) figures.note("repeated", (await endedUnder(stage, job)) === epoch ? 0 : 1);
    // 2. A runner dies: the retry is not put off by the leader's clock.
    const { job, epoch, runner } = await stage.victim(STEP_MS, STEPS);
    const atMs = Date.now();
    runner.signal("SIGKILL");
    const next = await stage.redispatched(job, epoch, AGAIN_WAIT_MS);
    if (next === null) return stage.breach(`lost: ${job} did not run again under a leader ${skewMs} ms off`);
    figures.note("requeue", next.atMs - atMs);
    // 3. All die, so the job waits; the next leader's clock is right.
    for (const each of site.fleet.all) if (!each.ended) each.signal("SIGKILL");
    await stage.poll(AGAIN_WAIT_MS, async () => {
      const rows = await site.product.sql`select 1 from job where id = ${job} and state = 'retrying'`;
      return rows.length === 1 ? true : null;
    });
    await leader.stop();
    await site.leader();
    await site.fleet.atLeast(3);
    const thereMs = Date.now();
    const last = await stage.redispatched(job, next.epoch, AGAIN_WAIT_MS);
    if (last === null)
      stage.notes.push(`leader ${skewMs} ms off: ${job} still waits ${AGAIN_WAIT_MS} ms after the next one led`);
    figures.note("next leader", Math.max(0, (last?.atMs ?? Date.now()) - thereMs));
    if (last === null) await stage.cancel(job);
  } finally {
    await leader.stop();
    await site.fleet.atLeast(4);
  }
}

function skewed(id: string, dials: readonly number[], skewMs: number) {
  return { id, dials, env: { CALLSHEET_CHAOS_SKEW_MS: String(skewMs) }, execArgv: ["--import", SKEW] };
}

async function endedUnder(stage: Stage, job: string): Promise<number | null> {
  return stage.poll(END_MS, async () => {
    const [row] = await stage.site.product.sql<{ epoch: number }[]>`
      select epoch from job where id = ${job} and finished_at is not null`;
    return row?.epoch ?? null;
  });
}
