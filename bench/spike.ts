/**
 * A viral spike: a hundred times as many creates as can be rendered, from two hundred accounts, for five minutes. What does it
 * cost the videos that were running, those who get in, those who do not, and the minute after?
 *
 *   npm run bench:spike -- [--seconds 300] [--rate PER_SECOND] [--profile creates|reads] [--json FILE]
 *
 * 1. Idle: creates at 5 a second, and how long each takes to be acknowledged.
 * 2. C: how many videos a second complete while there is a queue and nobody calls. They wait, not compute (`!idle=150`), so that
 *    C is what the runners' slots allow and the two cores are left to what is measured.
 * 3. The spike, offered by a process of its own (`spike/generator.ts`).
 * 4. After it: creates of accounts that took no part, until for five seconds all are acknowledged as quickly as before.
 * 5. The tables: nothing acknowledged is missing, nothing is there twice.
 */
import { writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Product } from "#tests/support/product.ts";
import { coresOf, outcomesOf, quantile, share, tables } from "./spike/report.ts";
import { offer, Site } from "./spike/site.ts";
import type { Customer } from "./spike/site.ts";
import { Watch } from "./spike/watch.ts";

const ACCOUNTS = 200;
/** They take no part in the spike. */
const OTHERS = 40;
const OFFERED_MAX_PER_S = 1_500;
const IDLE_CREATES = 100;
const CAPACITY_JOBS_PER_ACCOUNT = 2;
const CAPACITY_S = 15;
const WARM_S = 3;
const NORMAL_FOR_MS = 5_000;
const NORMAL_WAIT_MS = 120_000;
const PROBE_MS = 200;

const { values: flags } = parseArgs({
  options: {
    seconds: { type: "string", default: "300" },
    rate: { type: "string" },
    profile: { type: "string", default: "creates" },
    json: { type: "string" },
  },
});
const seconds = Number(flags.seconds);
const profile = flags.profile === "reads" ? "reads" : "creates";

const product = await Product.start({
  CALLSHEET_RUNNERS: "3",
  CALLSHEET_RUNNER_DEVICES: "1x80gb/2,1x80gb/2,1x80gb/2",
  CALLSHEET_LOG: "error",
});
try {
  const report = await spike(new Site(product));
  console.log(JSON.stringify(report, null, 2));
  if (flags.json !== undefined) writeFileSync(flags.json, JSON.stringify(report, null, 2));
} finally {
  await product.stop();
}

async function spike(site: Site) {
  const [crowd, others] = [await site.customers(ACCOUNTS), await site.customers(OTHERS)];
  const idleMs = await idle(site, others);
  say(`idle: acknowledged in ${quantile(idleMs, 0.5)} ms, p99 ${quantile(idleMs, 0.99)} ms`);
  const capacity = await measureCapacity(site, crowd);
  const perSecond = Number(flags.rate ?? Math.min(100 * capacity, OFFERED_MAX_PER_S));
  say(`C: ${capacity} videos a second; offering ${perSecond} ${profile} a second for ${seconds} s`);
  const videos = await firstVideos(site, crowd);
  const before = await site.parts();
  const watch = new Watch(site);
  let finishedIn = 0;
  let after = Promise.resolve<number | null>(null);
  const overAt = Promise.withResolvers<void>();
  const plan = {
    edgeUrl: product.dev.edge_url,
    apiKeys: crowd.map(({ apiKey }) => apiKey),
    perSecond,
    seconds,
  } as const;
  const offered = offer({ ...plan, seed: 1, profile, videos }, () => {
    const over = async () => {
      finishedIn = await site.finishedWithin(seconds);
      await watch.stop();
      overAt.resolve();
    };
    after = normalAfter(site, others, quantile(idleMs, 0.99));
    over().catch(overAt.reject);
  });
  const told = await offered;
  await overAt.promise;
  return {
    load: loadavg().map((each) => Math.round(each * 10) / 10),
    capacity_per_s: capacity,
    offered_per_s: perSecond,
    seconds,
    ...(profile === "creates" ? { goodput_share_of_capacity: share(finishedIn / seconds, capacity) } : {}),
    idle_ack_ms: { p50: quantile(idleMs, 0.5), p99: quantile(idleMs, 0.99) },
    ...outcomesOf(told),
    normal_again_after_ms: await after,
    most: watch.most,
    cpu_cores: coresOf(before, watch.last ?? before, seconds),
    shed: await site.metrics("calls_shed_total{"),
    waited: await site.metrics("calls_waited"),
    tables: await tables(site, told),
  };
}

async function idle(site: Site, customers: readonly Customer[]): Promise<readonly number[]> {
  const took: Promise<number | null>[] = [];
  for (let n = 0; n < IDLE_CREATES; n++) {
    const customer = customers[n % customers.length];
    if (customer !== undefined) took.push(site.create(customer, `idle-${n}`));
    await sleep(PROBE_MS);
  }
  const all = await Promise.all(took);
  await site.clear();
  return all.filter((ms) => ms !== null).toSorted((a, b) => a - b);
}

async function measureCapacity(site: Site, crowd: readonly Customer[]): Promise<number> {
  for (let round = 0; round < CAPACITY_JOBS_PER_ACCOUNT; round++) {
    for (const [n, customer] of crowd.entries()) await site.create(customer, `capacity-${round}-${n}`);
  }
  await sleep((WARM_S + CAPACITY_S) * 1_000);
  const finished = await site.finishedWithin(CAPACITY_S);
  if ((await site.waiting()) === 0) throw new Error("the queue ran dry while the capacity was measured");
  await site.clear();
  return Math.round((finished / CAPACITY_S) * 100) / 100;
}

async function firstVideos(site: Site, crowd: readonly Customer[]): Promise<readonly string[]> {
  const rows = await site.product.sql<{ account_id: string; id: string }[]>`
    select account_id, min(id) as id from job group by account_id`;
  const of = new Map(rows.map(({ account_id: account, id }) => [account, id]));
  return crowd.map(({ id }) => of.get(id) ?? "");
}

/** From the end of the spike to the first of five seconds in which every create was acknowledged as quickly as before. */
async function normalAfter(site: Site, others: readonly Customer[], idleP99Ms: number): Promise<number | null> {
  const overMs = performance.now();
  let sinceMs = overMs;
  for (let n = 0; performance.now() - overMs < NORMAL_WAIT_MS; n++) {
    const customer = others[n % others.length];
    const tookMs = customer === undefined ? null : await site.create(customer, `after-${n}`);
    if (tookMs === null || tookMs > 3 * idleP99Ms) sinceMs = performance.now();
    if (performance.now() - sinceMs >= NORMAL_FOR_MS) return Math.round(sinceMs - overMs);
    await sleep(PROBE_MS);
  }
  return null;
}

function say(text: string): void {
  console.error(text);
}
