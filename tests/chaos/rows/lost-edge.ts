/**
 * R13: the edge is killed or frozen under calls and live sessions. It is back as soon as its supervisor noticed, sessions go on behind
 * the last event they heard, and a create whose answer was lost made one video at most.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { reconnectWithinMs } from "#protocol/reconnect.ts";
import { LiveWatch } from "../live-watch.ts";
import { signal } from "../processes.ts";
import type { Row } from "../row.ts";
import type { Stage } from "../stage.ts";

const SESSIONS_PER_ACCOUNT = 5;
const SOON_MS = 1_500;
const FROZEN_MS = 4_000;
const BACK_WAIT_MS = 60_000;
const CATCH_UP_MS = 30_000;
const TRY_MS = 300;
const POLL_MS = 15;

export const lostEdge: Row = {
  id: "R13",
  fault: "kill -9 or SIGSTOP (4 s) of the edge under calls and 20 live sessions (half of the rounds each)",
  rounds: { full: 10, slice: 2 },
  runners: 4,
  beside: "R2",
  goals: [
    { name: "back", says: "answers again after a kill", most: 3_000, unit: "ms", kind: "time" },
    { name: "woken", says: "answers after SIGCONT", most: 1_000, unit: "ms", kind: "time" },
    { name: "resumed", says: "all sessions go on after it answers again", most: 2_000, unit: "ms", kind: "time" },
    { name: "missed", says: "events that a session missed", most: 0, unit: "", kind: "safety" },
    { name: "doubled", says: "events told again or out of order", most: 0, unit: "", kind: "safety" },
  ],
  async run(stage, rounds) {
    const { site, random } = stage;
    const accounts = [...stage.accounts, stage.victims];
    const withinMs = reconnectWithinMs(accounts.length * SESSIONS_PER_ACCOUNT);
    const watches = accounts.flatMap((account) =>
      Array.from(
        { length: SESSIONS_PER_ACCOUNT },
        (_, index) =>
          new LiveWatch(site.product.dev.edge_url, account, withinMs, random.fork(`${account.id} ${index}`)),
      ),
    );
    try {
      await allOpen(stage, watches, 0);
      for (let round = 0; round < rounds; round++) await lose(stage, watches, round % 2 === 0 ? "kill" : "freeze");
      await compare(stage, watches);
    } finally {
      for (const watch of watches) watch.close();
    }
  },
};

async function lose(stage: Stage, watches: readonly LiveWatch[], how: "kill" | "freeze"): Promise<void> {
  const { site, figures, random } = stage;
  const { edge: pid } = await site.product.pids();
  await site.ranWell([pid]);
  await sleep(random.int(0, SOON_MS));
  const atMs = Date.now();
  signal(pid, how === "kill" ? "SIGKILL" : "SIGSTOP");
  if (how === "freeze") {
    await sleep(FROZEN_MS);
    const wokenMs = Date.now();
    signal(pid, "SIGCONT");
    figures.note("woken", (await answers(stage)) - wokenMs);
    // Its sessions were never cut.
    return allOpen(stage, watches, 0).then(() => undefined);
  }
  const backMs = await answers(stage);
  figures.note("back", backMs - atMs);
  figures.note("resumed", Math.max(0, (await allOpen(stage, watches, atMs)) - backMs));
}

async function answers(stage: Stage): Promise<number> {
  const url = `${stage.site.product.dev.edge_url}/healthz`;
  const at = await stage.poll(BACK_WAIT_MS, async () => {
    const answer = await fetch(url, { signal: AbortSignal.timeout(TRY_MS) }).catch(() => null);
    await answer?.body?.cancel();
    if (answer?.ok === true) return Date.now();
    await sleep(POLL_MS);
    return null;
  });
  if (at === null) throw new Error(`the edge did not answer within ${BACK_WAIT_MS} ms`);
  return at;
}

/** Every session is open and began since; answers when the last one did. */
async function allOpen(stage: Stage, watches: readonly LiveWatch[], sinceMs: number): Promise<number> {
  const open = await stage.poll(BACK_WAIT_MS, async () =>
    watches.every((watch) => watch.isOpen && watch.resumedAtMs > sinceMs) ? true : null,
  );
  if (open === null) stage.breach(`not every session was open again within ${BACK_WAIT_MS} ms`);
  return Math.max(...watches.map(({ resumedAtMs }) => resumedAtMs));
}

/** With the log as it stands now, which every session is given time to hear. */
async function compare(stage: Stage, watches: readonly LiveWatch[]): Promise<void> {
  const rows = await stage.site.product.sql<{ account: string; last: string }[]>`
    select account_id as account, last from event_counter where account_id = any(${[...stage.accountIds]})`;
  const lastOf = new Map(rows.map(({ account, last }) => [account, Number(last)]));
  await stage.poll(CATCH_UP_MS, async () =>
    watches.every((watch) => (watch.heard.at(-1) ?? 0) >= (lastOf.get(watch.account) ?? 0)) ? true : null,
  );
  const faults = watches.map((watch) => watch.faults(lastOf.get(watch.account) ?? 0));
  stage.figures.note("missed", sum(faults.map(({ missed }) => missed)));
  stage.figures.note("doubled", sum(faults.map(({ doubled }) => doubled)));
  stage.notes.push(`${watches.length} sessions heard ${sum(watches.map(({ heard }) => heard.length))} events`);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
