/**
 * R6: PostgreSQL ends in order, at once, or is killed, and stays away for five seconds: its supervisor is frozen so long.
 * Nobody else may end, calls are refused with a time to come again, and what runs on GPUs goes on.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import postgres from "postgres";
import { until } from "#tests/support/product.ts";
import { residentBytes, signal } from "../processes.ts";
import type { Row } from "../row.ts";
import type { Site } from "../site.ts";
import type { Stage } from "../stage.ts";

const AWAY_MS = 5_000;
const BACK_WAIT_MS = 60_000;
const POLL_MS = 25;
const TRY_MS = 6_000;
const HOWS = [
  ["SIGQUIT", "immediate"],
  ["SIGINT", "fast"],
  ["SIGKILL", "kill -9"],
] as const;

export const lostPostgres: Row = {
  id: "R6",
  fault: "PostgreSQL fast / immediate / kill -9, 5 s away",
  rounds: { full: 9, slice: 1 },
  runners: 4,
  beside: null,
  goals: [
    { name: "recovery", says: "a create works after it answers again", most: 2_000, unit: "ms", kind: "time" },
    { name: "unrefused", says: "calls without 503 + Retry-After meanwhile", most: 0, unit: "", kind: "time" },
    { name: "broken", says: "running attempts that broke", most: 0, unit: "", kind: "time" },
    { name: "exits", says: "processes that ended", most: 0, unit: "", kind: "safety" },
    { name: "growth", says: "memory of a control plane after/before", most: 150, unit: "%", kind: "time" },
  ],
  async run(stage, rounds) {
    const { site } = stage;
    const supervisor = Number(await readFile(join(site.product.home, "supervisor.pid"), "utf8"));
    for (let round = 0; round < rounds; round++) {
      const [name, how] = HOWS[round % HOWS.length]!;
      await site.ranWell([(await site.product.pids()).postgres]);
      const running = await stage.victim(500, 30);
      const before = await processesOf(site);
      signal(supervisor, "SIGSTOP");
      const endedMs = performance.now();
      try {
        signal(before.postgres, name);
        await sleep(AWAY_MS / 2);
        await refusals(stage);
        await sleep(AWAY_MS / 2);
      } finally {
        signal(supervisor, "SIGCONT");
      }
      const { answeredMs, tookMs } = await recovery(stage);
      const awayMs = Math.round(answeredMs - endedMs);
      stage.notes.push(`${how}: answered after ${awayMs} ms, a create worked ${Math.round(tookMs)} ms later`);
      await site.product.sql`select 1`;
      const after = await processesOf(site);
      const ended = [...before.others].filter((pid) => !after.others.has(pid));
      stage.figures.note("exits", ended.length);
      const growth = await Promise.all(
        [...before.memory].map(async ([pid, bytes]) => ((after.memory.get(pid) ?? bytes) / bytes) * 100),
      );
      stage.figures.note("growth", Math.max(...growth));
      await ends(stage, running.job, running.epoch);
    }
  },
};

async function processesOf(site: Site) {
  const { edge, control_plane: controlPlanes, postgres: server } = await site.product.pids();
  const memory = new Map(await Promise.all(controlPlanes.map(async (pid) => [pid, await residentBytes(pid)] as const)));
  const runners = site.fleet.all.filter((runner) => !runner.ended).map(({ pid }) => pid);
  return { postgres: server, others: new Set([edge, ...controlPlanes, ...runners]), memory };
}

/** Every replica says that it cannot, and when to come again. */
async function refusals(stage: Stage): Promise<void> {
  const { site, victims } = stage;
  const answers = await Promise.all(
    site.replicas.map(({ url }) =>
      site.caller
        .once(url, { method: "GET", path: "/videos?limit=1&order=desc", account: victims.id }, TRY_MS)
        .catch(String),
    ),
  );
  const wrong = answers.filter(
    (answer) => typeof answer === "string" || answer.status !== 503 || answer.retryAfter === null,
  );
  for (const answer of wrong) stage.notes.push(`while away: ${JSON.stringify(answer).slice(0, 200)}`);
  stage.figures.note("unrefused", wrong.length);
}

/** From the first query that PostgreSQL answers to the first create that is acknowledged. */
async function recovery(stage: Stage): Promise<{ readonly answeredMs: number; readonly tookMs: number }> {
  const { site } = stage;
  await until("PostgreSQL answers", BACK_WAIT_MS, async () => {
    const own = postgres(site.product.dev.database_url, { max: 1, connect_timeout: 1, onnotice: () => undefined });
    try {
      await own`select 1`;
      return true;
    } catch {
      return false; // Not yet.
    } finally {
      await own.end({ timeout: 0 });
    }
  });
  const answeredMs = performance.now();
  for (;;) {
    try {
      await stage.submit("!idle=50 a pier", 2, stage.random.int(0, 1));
      break;
    } catch {
      await sleep(POLL_MS); // The submit itself has tried for long.
    }
  }
  const tookMs = performance.now() - answeredMs;
  stage.figures.note("recovery", tookMs);
  return { answeredMs, tookMs };
}

async function ends(stage: Stage, job: string, epoch: number): Promise<void> {
  const ended = await stage.poll(BACK_WAIT_MS, async () => {
    const [row] = await stage.site.product.sql<{ epoch: number; done: boolean }[]>`
      select epoch, finished_at is not null as done from job where id = ${job}`;
    return row?.done === true ? row : null;
  });
  stage.figures.note("broken", ended?.epoch === epoch ? 0 : 1);
  if (ended?.epoch === epoch) return;
  const attempts = await stage.site.product.sql`
    select epoch, runner_id, outcome, started_at, ended_at from attempt where job_id = ${job} order by epoch`;
  stage.notes.push(`broken by PostgreSQL's absence: ${JSON.stringify(attempts)}`);
}
