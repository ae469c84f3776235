/**
 * `npm run bench:timing -- --samples 10000`: can a stopwatch tell what an answer does not say? Two questions of the same answer are
 * asked in turns, in random order, over one connection: about something that exists and is another's, and about nothing.
 *
 * Welch's t-test over what is left after 5 % are trimmed at each end. The goal is p > 0.01; below it there is a difference, and
 * how large it is stands beside it.
 */
import { randomBytes } from "node:crypto";
import { Agent, request } from "node:http";
import { loadavg } from "node:os";
import { parseArgs } from "node:util";
import { mintKey } from "#protocol/api-key.ts";
import { AccountId } from "#protocol/id.ts";
import { Video } from "#protocol/video.ts";
import { WebhookEndpoint } from "#protocol/webhook.ts";
import { Product } from "#tests/support/product.ts";

/** Whose limits of reads together are above what one connection asks. */
const CALLERS = 24;
const TRIM = 0.05;
const P_MIN = 0.01;

const { values } = parseArgs({ options: { samples: { type: "string", default: "10000" } } });
const samples = Number(values.samples);

interface Question {
  readonly path: string;
  readonly key: () => string;
}
interface Pair {
  readonly what: string;
  readonly status: number;
  readonly known: Question;
  readonly unknown: Question;
}

const agent = new Agent({ keepAlive: true, maxSockets: 1 });
const product = await Product.start({ CALLSHEET_RUNNERS: "0" });
try {
  const pairs = await prepare();
  console.log(`| question | known, ms | unknown, ms | difference, µs | t | p |`);
  console.log("| --- | ---: | ---: | ---: | ---: | ---: |");
  for (const pair of pairs) report(pair.what, await measure(pair));
  console.log(`${samples} samples each, load ${loadavg()[0]?.toFixed(1)}`);
} finally {
  agent.destroy();
  await product.stop();
}

async function prepare(): Promise<readonly Pair[]> {
  const victim = await product.account("pro");
  const post = async (path: string, body: unknown): Promise<unknown> => {
    const headers = { authorization: `Bearer ${victim.apiKey}`, "content-type": "application/json" };
    return (await fetch(product.dev.edge_url + path, { method: "POST", headers, body: JSON.stringify(body) })).json();
  };
  const video = Video.parse(await post("/v1/videos", { prompt: "x", size: "320x192", seconds: 1 })).id;
  const endpoint = WebhookEndpoint.parse(await post("/v1/webhook_endpoints", { url: "http://127.0.0.1:9/" })).id;
  const keys: string[] = [];
  for (let n = 0; n < CALLERS; n++) keys.push((await product.account("pro")).apiKey);
  let turn = 0;
  const stranger = () => keys[turn++ % keys.length] ?? "";
  const next = (id: string) => id.slice(0, -1) + (id.endsWith("0") ? "1" : "0");
  const wrongKeyOf = (account: AccountId) => () => mintKey("dev", account, randomBytes(64));
  const ids = (what: string, path: (id: string) => string, id: string): Pair => ({
    what,
    status: 404,
    known: { path: path(id), key: stranger },
    unknown: { path: path(next(id)), key: stranger },
  });
  return [
    ids("another's video", (id) => `/v1/videos/${id}`, video),
    ids("another's video's content", (id) => `/v1/videos/${id}/content`, video),
    ids("another's webhook endpoint", (id) => `/v1/webhook_endpoints/${id}`, endpoint),
    {
      what: "a wrong key of an account",
      status: 401,
      known: { path: "/v1/videos", key: wrongKeyOf(AccountId.parse(victim.id)) },
      unknown: { path: "/v1/videos", key: wrongKeyOf(AccountId.parse("acct_0000000000000000")) },
    },
  ];
}

async function measure({ status, known, unknown }: Pair) {
  const took = { known: [] as number[], unknown: [] as number[] };
  for (let n = 0; n < 200; n++) await ask(n % 2 === 0 ? known : unknown, status); // Nothing is cold on either side.
  while (took.known.length < samples || took.unknown.length < samples) {
    const which =
      took.known.length >= samples || (took.unknown.length < samples && Math.random() < 0.5) ? "unknown" : "known";
    took[which].push(await ask(which === "known" ? known : unknown, status));
  }
  return took;
}

function ask({ path, key }: Question, status: number): Promise<number> {
  const headers = { authorization: `Bearer ${key()}` };
  return new Promise((resolve, reject) => {
    const startedMs = performance.now();
    const outgoing = request(product.dev.edge_url + path, { agent, headers }, (answer) => {
      const ms = performance.now() - startedMs;
      answer.resume();
      answer.on("end", () => {
        if (answer.statusCode === status) resolve(ms);
        else reject(new Error(`${path} was answered ${answer.statusCode} instead of ${status}`));
      });
    });
    outgoing.on("error", reject);
    outgoing.end();
  });
}

function report(what: string, took: { readonly known: readonly number[]; readonly unknown: readonly number[] }): void {
  const [a, b] = [momentsOf(took.known), momentsOf(took.unknown)];
  const t = (a.mean - b.mean) / Math.sqrt(a.variance / a.count + b.variance / b.count);
  const p = twoSided(t);
  const figures = [
    a.mean.toFixed(3),
    b.mean.toFixed(3),
    ((a.mean - b.mean) * 1_000).toFixed(1),
    t.toFixed(2),
    p.toFixed(4),
  ];
  console.log(`| ${[what, ...figures].join(" | ")} |${p > P_MIN ? "" : " differs"}`);
}

function momentsOf(values: readonly number[]) {
  const cut = Math.floor(values.length * TRIM);
  const kept = values.toSorted((a, b) => a - b).slice(cut, values.length - cut);
  const mean = kept.reduce((sum, value) => sum + value, 0) / kept.length;
  const variance = kept.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (kept.length - 1);
  return { mean, variance, count: kept.length };
}

/** Of a normal distribution, which Student's is at thousands of samples (Abramowitz and Stegun 7.1.26, error below 1.5e-7). */
function twoSided(t: number): number {
  const x = Math.abs(t) / Math.SQRT2;
  const k = 1 / (1 + 0.3275911 * x);
  const series = k * (0.254829592 + k * (-0.284496736 + k * (1.421413741 + k * (-1.453152027 + k * 1.061405429))));
  return series * Math.exp(-x * x);
}
