/**
 * A storm of generated hostile requests against a running stack, and what it did to it: answers by kind, the control plane's
 * event-loop lag while it lasted, and the CPU that the costliest requests took when sent again, alone.
 */
import { readdirSync, readFileSync } from "node:fs";
import * as fc from "fast-check";
import { WebhookDelivery, WebhookEndpoint } from "#protocol/webhook.ts";
import { Video } from "#protocol/video.ts";
import type { Product } from "#tests/support/product.ts";
import { hostileRequests } from "./hostile-request.ts";
import type { HostileRequest, Listener, Loot } from "./hostile-request.ts";
import { sendRaw } from "./wire.ts";
import type { Outcome } from "./wire.ts";

/** As many as pass the limit of reads of one account. */
const ACCOUNTS = 40;
const BATCH = 500;
const AT_ONCE = 12;
const COSTLIEST = 20;
const EXAMPLES_MAX = 10;

export interface Assault {
  readonly requests: number;
  readonly answers: ReadonlyMap<string, number>;
  /** 500 and above but 503, and whole requests that got neither answer nor end. Each with the request. */
  readonly failures: readonly string[];
  readonly failed: number;
  readonly overloaded: number;
  /** The first request of each batch in which a part had to be started again. */
  readonly restarts: readonly number[];
  readonly lagP99Ms: number;
  readonly lagMaxMs: number;
  readonly seconds: number;
  readonly costliest: readonly { readonly request: string; readonly edgeMs: number; readonly controlPlaneMs: number }[];
}

export async function assault(
  product: Product,
  controlPlane: string,
  requests: number,
  seed: number,
): Promise<Assault> {
  const loot = await gather(product);
  const ports: Readonly<Record<Listener, number>> = {
    edge: portOf(product.dev.edge_url),
    "control-plane": portOf(controlPlane),
    admin: portOf(product.dev.admin_url),
  };
  let pids = await product.pids();
  const restarts: number[] = [];
  const answers = new Map<string, number>();
  const failures: string[] = [];
  let [failed, overloaded] = [0, 0];
  const slowest: { request: HostileRequest; ms: number }[] = [];
  const note = (request: HostileRequest, { status, silent, ms }: Outcome) => {
    const kind = silent ? "silent" : status === null ? "cut" : `${Math.floor(status / 100)}xx`;
    answers.set(kind, (answers.get(kind) ?? 0) + 1);
    if (status === 503) overloaded += 1;
    else if (silent || (status !== null && status >= 500)) {
      failed += 1;
      if (failures.length < EXAMPLES_MAX) failures.push(`${silent ? "silence" : status} ← ${shown(request)}`);
    }
    slowest.push({ request, ms });
    if (slowest.length > 4 * COSTLIEST) slowest.sort((a, b) => b.ms - a.ms).splice(COSTLIEST);
  };
  await lagOf(product); // What was before the storm does not count.
  const startedMs = performance.now();
  const arbitrary = hostileRequests(loot);
  for (let made = 0; made < requests; made += BATCH) {
    const batch = fc.sample(arbitrary, { seed: seed + made, numRuns: Math.min(BATCH, requests - made) });
    await inParallel(batch, async (request) => note(request, await sendRaw(ports[request.to], request)));
    const now = await product.pids();
    if (now.edge !== pids.edge || now.control_plane[0] !== pids.control_plane[0]) restarts.push(made);
    pids = now;
  }
  const lag = await lagOf(product);
  const seconds = (performance.now() - startedMs) / 1_000;
  const costliest = [];
  for (const { request } of slowest.toSorted((a, b) => b.ms - a.ms).slice(0, COSTLIEST)) {
    costliest.push(await costOf(request, ports[request.to], pids.edge, pids.control_plane[0] ?? 0));
  }
  return {
    requests,
    answers,
    failures,
    failed,
    overloaded,
    restarts,
    lagP99Ms: lag.p99,
    lagMaxMs: lag.max,
    seconds,
    costliest,
  };
}

async function inParallel<Item>(items: readonly Item[], act: (item: Item) => Promise<void>): Promise<void> {
  const queue = items.values();
  const worker = async () => {
    for (const item of queue) await act(item);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

/** Accounts of a tier whose creates nothing limits and whose videos never run: the storm is not to be stopped at the door. */
async function gather(product: Product): Promise<Loot> {
  const tier = {
    weight: 1,
    max_running: 0,
    max_queued: 1_000_000,
    creates_per_minute: 1_000_000,
    creates_burst: 1_000_000,
  };
  await product.admin("PUT", "/tiers/attacker", { ...tier, start_bound_s: 86_400 });
  const apiKeys: string[] = [];
  const ids = { video: [] as string[], endpoint: [] as string[], delivery: [] as string[] };
  for (let n = 0; n < ACCOUNTS; n++) {
    const { apiKey } = await product.account("attacker", "1000000");
    apiKeys.push(apiKey);
    if (n > 3) continue;
    const post = async (path: string, body?: unknown): Promise<unknown> => {
      const headers = { authorization: `Bearer ${apiKey}`, "content-type": "application/json" };
      const answer = await fetch(`${product.dev.edge_url}/v1${path}`, {
        method: "POST",
        headers,
        body: JSON.stringify(body),
      });
      return answer.json();
    };
    ids.video.push(Video.parse(await post("/videos", { prompt: "bait", size: "320x192", seconds: 1 })).id);
    const endpoint = WebhookEndpoint.parse(await post("/webhook_endpoints", { url: "http://127.0.0.1:9/" })).id;
    ids.endpoint.push(endpoint);
    ids.delivery.push(WebhookDelivery.parse(await post(`/webhook_endpoints/${endpoint}/test`)).id);
  }
  return { apiKeys, ids };
}

/** Since the last scrape, which begins it anew. */
async function lagOf(product: Product): Promise<{ readonly p99: number; readonly max: number }> {
  const headers = { authorization: `Bearer ${product.dev.admin_token}` };
  const text = await (await fetch(`${product.dev.admin_url}/metrics`, { headers })).text();
  const value = (name: string) =>
    Number(new RegExp(`^callsheet_nodejs_eventloop_lag_${name}_seconds (\\S+)`, "m").exec(text)?.[1]);
  return { p99: value("p99") * 1_000, max: value("max") * 1_000 };
}

async function costOf(request: HostileRequest, port: number, edge: number, controlPlane: number) {
  const before = [cpuMs(edge), cpuMs(controlPlane)] as const;
  await sendRaw(port, request);
  return {
    request: shown(request).slice(0, 160),
    edgeMs: cpuMs(edge) - before[0],
    controlPlaneMs: cpuMs(controlPlane) - before[1],
  };
}

/** On the CPU, over all threads of a process. */
function cpuMs(pid: number): number {
  const ns = readdirSync(`/proc/${pid}/task`).map((task) => {
    try {
      return Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ", 1)[0]);
    } catch {
      return 0; // A thread that ended meanwhile.
    }
  });
  return ns.reduce((sum, one) => sum + one, 0) / 1e6;
}

function shown({ to, method, path, headers, body, framing }: HostileRequest): string {
  const told = headers.filter(([name]) => name !== "authorization");
  return JSON.stringify({
    to,
    method,
    path: path.slice(0, 200),
    framing,
    headers: told,
    body: body?.toString("utf8").slice(0, 400),
  });
}

function portOf(url: string): number {
  return Number(new URL(url).port);
}
