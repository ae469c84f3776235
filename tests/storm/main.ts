/**
 * `npm run sessions:storm`: live sessions while the edge's objects are evicted and aborted, clients lose their network, and
 * workerd is killed. The product runs as `npm start` supervises it; events are those of real videos.
 *
 * Exits 1 if a client's log has a gap, a repeat or another event than the database. Times are printed and no more.
 */
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { z } from "zod";
import { residentBytes, signal } from "#tests/chaos/processes.ts";
import { Random } from "#tests/chaos/random.ts";
import { Product, until } from "#tests/support/product.ts";
import { bundleWithDoors, countEvictions } from "./edge-with-doors.ts";
import { Producer } from "./producer.ts";
import { Watcher } from "./watcher.ts";

const USAGE =
  "Usage: npm run sessions:storm -- [--sessions 1000] [--accounts 50] [--seconds 150] [--rate 0.4] [--seed N]\n";
/** Long, for machines that have other things to do: what is measured is measured apart. */
const SETTLE_MS = 300_000;
const ABORT_EVERY_MS = 3_000;
const DROP_EVERY_MS = 2_000;
const DROPPED = 0.02;
/** The supervisor starts a part at once again that ran for ten seconds. */
const KILL_EVERY_MS = 25_000;
const OPEN_AT_ONCE = 50;

const positive = (fallback: number) => z.coerce.number().pipe(z.number().positive()).default(fallback);
const Options = z.object({
  sessions: positive(1_000),
  accounts: positive(50),
  seconds: positive(150),
  /** Videos a second that a busy account asks for. */
  rate: positive(0.4),
  seed: z.coerce
    .number()
    .pipe(z.int())
    .default(() => Date.now() % 1_000_000),
});
type Options = z.infer<typeof Options>;

interface Faults {
  kills: number;
  aborts: number;
  drops: number;
}

process.exit(await main(process.argv.slice(2)));

async function main(args: readonly string[]): Promise<number> {
  const flags = Object.fromEntries(Object.keys(Options.shape).map((name) => [name, { type: "string" as const }]));
  const parsed = Options.safeParse(parseArgs({ args: [...args], options: flags }).values);
  if (!parsed.success) {
    process.stderr.write(`${z.prettifyError(parsed.error)}\n${USAGE}`);
    return 2;
  }
  const home = await mkdtemp(join(tmpdir(), "callsheet-storm-"));
  await bundleWithDoors(home);
  const product = await Product.start({ CALLSHEET_HOME: home, CALLSHEET_RUNNERS: "1" });
  process.once("SIGINT", () => void product.stop().finally(() => process.exit(130)));
  process.once("SIGTERM", () => void product.stop().finally(() => process.exit(143)));
  try {
    return await storm(product, parsed.data);
  } finally {
    await product.stop();
  }
}

async function storm(product: Product, options: Options): Promise<number> {
  const random = new Random(options.seed);
  const tier = { max_queued: 10_000, creates_per_minute: 1_000_000, creates_burst: 1_000_000, start_bound_s: 86_400 };
  await product.admin("PUT", "/tiers/storm", { ...tier, weight: 1, max_running: 2 });
  const accounts: { readonly id: string; readonly apiKey: string }[] = [];
  for (let n = 0; n < options.accounts; n++) accounts.push(await product.account("storm", "1000000"));
  const watchers: Watcher[] = [];
  for (let n = 0; n < options.sessions; n++) {
    const { id, apiKey } = accounts[n % accounts.length] ?? { id: "", apiKey: "" };
    watchers.push(new Watcher({ edgeUrl: product.dev.edge_url, apiKey }, id));
    if (n % OPEN_AT_ONCE === 0) await sleep(50);
  }
  const openedFromMs = performance.now();
  await until("every session is open", SETTLE_MS, async () => watchers.every(({ isCaughtUp }) => isCaughtUp)).catch(
    (error: unknown) => {
      const open = watchers.filter(({ isCaughtUp }) => isCaughtUp).length;
      throw new Error(`${open} of ${watchers.length} sessions are open; ended by ${endedBy(watchers)}`, {
        cause: error,
      });
    },
  );
  say(`opened in ${Math.round(performance.now() - openedFromMs)} ms`);
  const rss = await residentBytes((await product.pids()).edge);
  say(
    `${watchers.length} sessions are open over ${accounts.length} accounts; workerd holds ${Math.round(rss / 2 ** 20)} MiB`,
  );

  const producers = accounts.map(
    ({ id, apiKey }) => new Producer(product.dev.edge_url, apiKey, random.fork(id), options.rate),
  );
  const faults = await breakThings(product, watchers, accounts, options, random.fork("faults"));
  await Promise.all(producers.map((producer) => producer.stop()));
  const lasts = await settled(product, watchers);
  for (const watcher of watchers) watcher.close();
  return report(product, watchers, producers, faults, lasts, options);
}

async function breakThings(
  product: Product,
  watchers: readonly Watcher[],
  accounts: readonly { readonly id: string }[],
  options: Options,
  random: Random,
): Promise<Faults> {
  const faults: Faults = { kills: 0, aborts: 0, drops: 0 };
  const end = new AbortController();
  const every = async (ms: number, act: () => Promise<void>) => {
    while (!end.signal.aborted) {
      await sleep(ms, undefined, { signal: end.signal }).catch(() => undefined);
      if (!end.signal.aborted) await act();
    }
  };
  const all = Promise.all([
    every(KILL_EVERY_MS, async () => {
      signal((await product.pids()).edge, "SIGKILL");
      faults.kills += 1;
    }),
    every(ABORT_EVERY_MS, async () => {
      const url = `${product.dev.edge_url}/storm/abort/${random.pick(accounts).id}`;
      const answer = await fetch(url, { signal: AbortSignal.timeout(2_000) }).catch(() => null);
      if (answer?.ok === true) faults.aborts += 1;
    }),
    every(DROP_EVERY_MS, async () => {
      for (const watcher of watchers) {
        if (!watcher.isCaughtUp || !random.chance(DROPPED)) continue;
        watcher.drop();
        faults.drops += 1;
      }
    }),
  ]);
  await sleep(options.seconds * 1_000);
  end.abort();
  await all;
  return faults;
}

/** Waits until every client has its account's whole log; what the log's end then is, by account. */
async function settled(product: Product, watchers: readonly Watcher[]): Promise<ReadonlyMap<string, number>> {
  let lasts = new Map<string, number>();
  await until("nothing more happens and everybody has heard it", SETTLE_MS, async () => {
    const rows = await product.sql<{ account_id: string; last: string }[]>`select account_id, last from event_counter`;
    lasts = new Map(rows.map((row) => [row.account_id, Number(row.last)]));
    const [open] = await product.sql<{ count: number }[]>`
      select count(*)::integer as count from job where finished_at is null`;
    return open?.count === 0 && watchers.every(({ account, last }) => last >= (lasts.get(account) ?? 0));
  }).catch((error: unknown) => say(String(error)));
  return lasts;
}

async function report(
  product: Product,
  watchers: readonly Watcher[],
  producers: readonly Producer[],
  faults: Faults,
  lasts: ReadonlyMap<string, number>,
  options: Options,
): Promise<number> {
  const sum = (of: (watcher: Watcher) => number) => watchers.reduce((total, watcher) => total + of(watcher), 0);
  const wrong = await wrongLogs(product, watchers);
  const behind = watchers.filter(({ account, last }) => last < (lasts.get(account) ?? 0)).length;
  const resumed = watchers.flatMap(({ resumedMs }) => resumedMs).toSorted((a, b) => a - b);
  const away = watchers.flatMap(({ awayMs }) => awayMs).toSorted((a, b) => a - b);
  const rows: readonly (readonly [string, string | number])[] = [
    ["sessions", watchers.length],
    ["accounts", options.accounts],
    ["seconds", options.seconds],
    ["workerd killed", faults.kills],
    ["objects aborted", faults.aborts],
    ["objects evicted", await countEvictions(product.home)],
    ["sockets dropped by clients", faults.drops],
    ["sockets ended, by close code or status", endedBy(watchers)],
    ["resumptions", resumed.length],
    ["videos asked for", producers.reduce((total, { made }) => total + made, 0)],
    ["events delivered", sum(({ ids }) => ids.length)],
    ["gaps", sum(({ gaps }) => gaps)],
    ["duplicates", sum(({ duplicates }) => duplicates)],
    ["logs unlike the database's", wrong],
    ["clients that never caught up", behind],
    ["resyncs", sum(({ resyncs }) => resyncs)],
    ["clients refused for good", sum(({ refusals }) => refusals.length)],
    ["resumed after the handshake, ms p50 / p99 / max", quantiles(resumed)],
    ["away, from cut to caught up, ms p50 / p99 / max", quantiles(away)],
  ];
  process.stdout.write(`seed ${options.seed}\n\n| what | seen |\n| --- | ---: |\n`);
  for (const [what, seen] of rows) process.stdout.write(`| ${what} | ${seen} |\n`);
  const isBroken = sum(({ gaps, duplicates, refusals }) => gaps + duplicates + refusals.length) + wrong + behind > 0;
  return isBroken ? 1 : 0;
}

/** Clients whose events, by id and order, are not those that the database has after where they began. */
async function wrongLogs(product: Product, watchers: readonly Watcher[]): Promise<number> {
  const rows = await product.sql<{ account_id: string; ids: string[] }[]>`
    select account_id, array_agg(id order by sequence_number) as ids from event group by account_id`;
  const logs = new Map(rows.map((row) => [row.account_id, row.ids]));
  return watchers.filter(({ account, from, ids }) => {
    const truth = (logs.get(account) ?? []).slice(from ?? 0);
    return ids.length !== truth.length || ids.some((id, index) => id !== truth[index]);
  }).length;
}

function endedBy(watchers: readonly Watcher[]): string {
  const all = Map.groupBy(
    watchers.flatMap((watcher) => watcher.endedBy),
    (code) => code,
  );
  return [...all].map(([code, these]) => `${code}: ${these.length}`).join(", ");
}

function quantiles(sorted: readonly number[]): string {
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
  return [0.5, 0.99, 1].map((share) => Math.round(at(share))).join(" / ");
}

function say(text: string): void {
  process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${text}\n`);
}
