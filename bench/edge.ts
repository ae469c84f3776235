/**
 * What key, rate and answer cost at the edge: calls a second of the real Worker under plain workerd against a bare Worker that
 * answers 200 with as many bytes, in turns in one run, over the same connections of the same load.
 *
 * `npm run bench:edge [-- rounds [seconds]]`. Accounts have twenty times the rate and burst of reads of the seeded tiers, so that no
 * call is refused. Eight busy ones share the load; quiet ones are so many that most calls ask their account's object.
 * Beside calls a second stands the processor time that the runtime took for a call, which other work on the machine moves less.
 */
import { fork, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { bundleEdge } from "#cli/edge-bundle.ts";
import { workerdPath } from "#cli/edge-child.ts";
import { freePort } from "#cli/free-port.ts";
import { Guard } from "#cli/guard.ts";
import { mintKey } from "#protocol/api-key.ts";
import type { TierLimits } from "#protocol/edge-call.ts";
import { AccountId, VideoId } from "#protocol/id.ts";
import { video } from "#tests/edge/sample.ts";
import type { LoadOrder, LoadSeen } from "./edge-load.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const LOAD = fileURLToPath(new URL("./edge-load.ts", import.meta.url));
const BUSY = 8;
const QUIET = 400;
const CONNECTIONS = 50;
const TICKS_A_SECOND = 100;
const READY_MS = 30_000;
const WARM_MS = 3_000;
const rounds = Number(process.argv[2] ?? 5);
const forMs = Number(process.argv[3] ?? 4) * 1_000;

const SEEDED: TierLimits = {
  tier: "pro",
  creates_per_minute: 600,
  creates_burst: 300,
  reads_per_minute: 6_000,
  reads_burst: 200,
  max_running: 10,
};
const TERMS: TierLimits = { ...SEEDED, reads_per_minute: 120_000, reads_burst: 4_000 };
/** The account with the terms as seeded. */
const LIMITED = 9_999;
const LIMIT_MS = 10_000;
const VIDEO = `video_${"0".repeat(32)}`;
/** Asks for what is not offered: answered as soon as key and rate are checked. */
const AT_THE_EDGE = `/v1/videos/${VIDEO}/content?variant=spritesheet`;
const CASES = [
  { name: "a bare Worker", at: "bare", path: AT_THE_EDGE, status: "200", isBusy: false },
  { name: "no key asked: `/healthz`", at: "edge", path: "/healthz", status: "200", isBusy: false },
  { name: "key, rate, an answer of the edge", at: "edge", path: AT_THE_EDGE, status: "400", isBusy: true },
  { name: "the same, quiet accounts", at: "edge", path: AT_THE_EDGE, status: "400", isBusy: false },
  { name: "key, rate, control plane", at: "edge", path: `/v1/videos/${VIDEO}`, status: "200", isBusy: true },
] as const;

interface Round {
  readonly perSecond: number;
  readonly cpuMicros: number;
}

const home = await mkdtemp(join(tmpdir(), "callsheet-bench-edge-"));
const guard = new Guard();
guard.removeAfterwards(home);
const controlPlane = await startControlPlane();
const runtimes: ChildProcess[] = [];
try {
  const bundle = await bundleEdge({ root: ROOT, home, guard, signal: new AbortController().signal });
  const ports = { bare: await freePort(), edge: await freePort() };
  const edge = await startWorkerd(join(bundle, "workerd.capnp"), ports.edge, [
    `--directory-path=objects=${await folder("objects")}`,
  ]);
  const sample = await fetch(`http://127.0.0.1:${ports.edge}${AT_THE_EDGE}`, {
    headers: { authorization: `Bearer ${keyOf(0)}` },
  });
  const bare = await startWorkerd(await bareWorker((await sample.text()).length), ports.bare, []);
  const keys = Array.from({ length: QUIET }, (_, n) => keyOf(n));
  const pids = { bare: bare.pid ?? 0, edge: edge.pid ?? 0 };
  const measure = async (one: (typeof CASES)[number], ms: number): Promise<Round> => {
    const before = await cpuSeconds(pids[one.at]);
    const used = one.isBusy ? keys.slice(0, BUSY) : keys;
    const order = { port: ports[one.at], path: one.path, keys: used, connections: CONNECTIONS, forMs: ms };
    const seen = await load(order);
    const spent = (await cpuSeconds(pids[one.at])) - before;
    const others = Object.keys(seen.statuses).filter((status) => status !== one.status);
    if (others.length > 0) throw new Error(`${one.name} was answered ${JSON.stringify(seen.statuses)}`);
    return { perSecond: (seen.calls / seen.ms) * 1_000, cpuMicros: (spent / seen.calls) * 1e6 };
  };
  // Nothing is compiled, opened or checked for the first time later.
  for (const one of CASES) await measure(one, WARM_MS);
  const seen = new Map<string, Round[]>(CASES.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const one of CASES) seen.get(one.name)?.push(await measure(one, forMs));
  }
  print(seen);
  await printLimit(ports.edge);
} finally {
  for (const runtime of runtimes) runtime.kill("SIGTERM");
  controlPlane.close();
  controlPlane.closeAllConnections();
  await guard.close();
  await rm(home, { recursive: true, force: true });
}

/** Five keys of one account with the terms as seeded, all connections as fast as they can. */
async function printLimit(port: number): Promise<void> {
  const keys = Array.from({ length: 5 }, (_, n) => keyOf(LIMITED, n));
  const { statuses, ms } = await load({ port, path: AT_THE_EDGE, keys, connections: CONNECTIONS, forMs: LIMIT_MS });
  const budget = SEEDED.reads_burst + (ms / 60_000) * SEEDED.reads_per_minute;
  const passed = statuses["400"] ?? 0;
  const over = `${(100 * (passed / budget - 1)).toFixed(1)} %`;
  console.log(
    `limit: ${passed} passed of ${passed + (statuses["429"] ?? 0)} calls in ${(ms / 1_000).toFixed(1)} s; budget ${budget.toFixed(0)} (${over})`,
  );
}

function print(seen: ReadonlyMap<string, readonly Round[]>): void {
  const [bare] = seen.values();
  const perSecondOf = (all: readonly Round[]) => median(all.map(({ perSecond }) => perSecond));
  const cpuOf = (all: readonly Round[]) => median(all.map(({ cpuMicros }) => cpuMicros));
  console.log(
    `load average ${loadavg()[0]?.toFixed(1)}, ${rounds} rounds of ${forMs / 1_000} s, ${CONNECTIONS} connections, ${BUSY} busy accounts, ${QUIET} quiet ones`,
  );
  console.log("| call | calls a second | of the bare one | CPU of the runtime a call | bare ÷ it |");
  console.log("| --- | ---: | ---: | ---: | ---: |");
  for (const [name, all] of seen) {
    // Round by round, because what else the machine does changes.
    const ratio = median(all.map(({ perSecond }, at) => perSecond / (bare?.[at]?.perSecond ?? NaN)));
    const cpuRatio = median(all.map(({ cpuMicros }, at) => (bare?.[at]?.cpuMicros ?? NaN) / cpuMicros));
    const percent = (value: number) => `${(100 * value).toFixed(0)} %`;
    const row = [name, perSecondOf(all).toFixed(0), percent(ratio), `${cpuOf(all).toFixed(0)} µs`, percent(cpuRatio)];
    console.log(`| ${row.join(" | ")} |`);
  }
}

function accountOf(n: number): AccountId {
  return AccountId.parse(`acct_${String(n).padStart(16, "0")}`);
}

function keyOf(n: number, which = 0): string {
  const account = accountOf(n);
  return mintKey(
    "dev",
    account,
    createHash("sha512")
      .update(`${n} ${which}`)
      .digest()
      .map((byte) => byte % 248),
  );
}

/** Knows every key and one video; verifies no signature, so that its own cost is as small as it can be. */
async function startControlPlane(): Promise<Server> {
  const keyOn = (limits: TierLimits) => JSON.stringify({ key_id: "key_1", limits });
  const [key, limited] = [keyOn(TERMS), keyOn(SEEDED)];
  const done = JSON.stringify(video({ id: VideoId.parse(VIDEO), status: "completed", progress: 100 }));
  const server = createServer((request, response) => {
    request.resume();
    const isLimited = request.headers["x-callsheet-account"] === accountOf(LIMITED);
    const text = request.url !== "/edge/v1/keys/check" ? done : isLimited ? limited : key;
    response.writeHead(200, { "content-type": "application/json", "content-length": text.length }).end(text);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

async function bareWorker(bytes: number): Promise<string> {
  const path = await folder("bare");
  await writeFile(
    join(path, "worker.js"),
    `const body = "x".repeat(${bytes});
export default { fetch: () => new Response(body, { headers: { "content-type": "application/json" } }) };`,
  );
  await writeFile(
    join(path, "workerd.capnp"),
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "edge", worker = .edge)],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "edge")],
);
const edge :Workerd.Worker = (modules = [(name = "worker.js", esModule = embed "worker.js")], compatibilityDate = "2026-08-01");`,
  );
  return join(path, "workerd.capnp");
}

async function startWorkerd(config: string, port: number, more: readonly string[]): Promise<ChildProcess> {
  const child = spawn(workerdPath(), ["serve", config, `--socket-addr=http=127.0.0.1:${port}`, ...more], {
    stdio: ["ignore", "inherit", "inherit"],
    env: {
      CONTROL_PLANE_URLS: `http://127.0.0.1:${(controlPlane.address() as AddressInfo).port}`,
      EDGE_SIGNING_SECRET: randomBytes(32).toString("hex"),
      CALLSHEET_ENV: "development",
    },
  });
  runtimes.push(child);
  guard.watch(child.pid ?? 0, "SIGTERM");
  const endMs = performance.now() + READY_MS;
  while (performance.now() < endMs) {
    const answer = await fetch(`http://127.0.0.1:${port}/healthz`).catch(() => null); // not listening yet
    if (answer?.ok === true) return child;
  }
  throw new Error(`${config} is not up after ${READY_MS} ms`);
}

async function load(order: LoadOrder): Promise<LoadSeen> {
  const child = fork(LOAD);
  child.send(order);
  const exited = once(child, "exit");
  const seen = await Promise.race([once(child, "message"), exited.then(() => null)]);
  if (seen === null) throw new Error("the load ended without an answer");
  await exited;
  return seen[0] as LoadSeen;
}

/** User and system time of a process so far. */
async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND;
}

async function folder(name: string): Promise<string> {
  const path = join(home, name);
  await mkdir(path, { recursive: true });
  return path;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return ((sorted[(sorted.length - 1) >> 1] ?? NaN) + (sorted[sorted.length >> 1] ?? NaN)) / 2;
}
