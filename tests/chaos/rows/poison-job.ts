/** R16: whoever runs a marked job dies. After three lone deaths it is given up, its hold released and its owner told; others hardly notice. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Row } from "../row.ts";
import type { Stage } from "../stage.ts";

const DEATHS = 3;
const STEP_MS = 500;
const STEPS = 60;
const WAIT_MS = 60_000;
const BEFORE_MS = 15_000;
const QUANTILE = 0.95;

export const poisonJob: Row = {
  id: "R16",
  fault: "poison: whichever runner runs the marked job dies",
  rounds: { full: 3, slice: null },
  runners: 5,
  beside: null,
  goals: [
    { name: "deaths", says: "runners that died of it", most: DEATHS, unit: "", kind: "time" },
    { name: "charged", says: "not given up, charged, or nobody told", most: 0, unit: "", kind: "safety" },
    { name: "wait", says: "p95 wait of others after/before", most: 110, unit: "%", kind: "time" },
  ],
  async run(stage, rounds) {
    await sleep(BEFORE_MS);
    const before = await waits(stage, stage.beganAtMs);
    const fromMs = Date.now();
    for (let round = 0; round < rounds; round++) await poison(stage);
    const during = await waits(stage, fromMs);
    if (before === null || during === null) return;
    stage.notes.push(`others waited p95 ${Math.round(before)} ms before, ${Math.round(during)} ms during`);
    stage.figures.note("wait", (during / before) * 100);
  },
};

async function poison(stage: Stage): Promise<void> {
  const { site, figures } = stage;
  const job = await stage.submit(`!idle=${STEP_MS} the marked one`, STEPS);
  let deaths = 0;
  for (;;) {
    const turn = await stage.poll(WAIT_MS, async () => {
      const [row] = await site.product.sql<{ state: string; runner_id: string | null }[]>`
        select state, runner_id from job where id = ${job}`;
      if (row?.state === "failed" || row?.state === "completed") return row;
      const alive = row?.runner_id !== null && row !== undefined && !site.fleet.named(row.runner_id).ended;
      return row?.state === "running" && alive ? row : null;
    });
    if (turn === null) return stage.breach(`${job} neither ran nor ended for ${WAIT_MS} ms after ${deaths} deaths`);
    if (turn.state !== "running" || turn.runner_id === null) break;
    const runner = site.fleet.named(turn.runner_id);
    runner.signal("SIGKILL");
    deaths++;
    await stage.poll(WAIT_MS, async () => (runner.ended ? true : null));
    await site.fleet.atLeast(poisonJob.runners);
  }
  figures.note("deaths", deaths);
  const [end] = await site.product.sql<{ state: string; error_code: string; captured: string; hold: string }[]>`
    select j.state, j.error_code, h.captured::text, h.state as hold from job j join credit_hold h on h.job_id = j.id
    where j.id = ${job}`;
  const sound =
    end?.state === "failed" && end.error_code === "runner_crashed" && end.captured === "0" && end.hold === "settled";
  const told = await stage.poll(WAIT_MS, async () =>
    site.receiver.log.some((delivery) => delivery.job === job && delivery.type === "video.failed") ? true : null,
  );
  figures.note("charged", sound && told === true ? 0 : 1);
  if (!sound) stage.notes.push(`the poisoned ${job} ended as ${JSON.stringify(end)}`);
}

/** Of the crowd's videos that were submitted since. */
async function waits(stage: Stage, sinceMs: number): Promise<number | null> {
  const crowd = stage.accounts.map(({ id }) => id);
  const [row] = await stage.site.product.sql<{ wait: number | null }[]>`
    select percentile_disc(${QUANTILE}::float8) within group (order by extract(epoch from started_at - created_at) * 1000)::float8 as wait
    from job where account_id = any(${crowd}) and started_at is not null and created_at >= to_timestamp(${sinceMs / 1_000})`;
  return row?.wait ?? null;
}
