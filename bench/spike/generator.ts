/**
 * Offers load in an open loop, in a process of its own: a request is due at its time whether or not earlier ones were answered,
 * and its latency counts from then. Clients retry as the official SDK does: twice, when `Retry-After` says, unless they are told
 * not to. A retry that is due takes the place of a new call, so that the offered rate is what it is said to be.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Plan, Told } from "./plan.ts";
import { Wire } from "./wire.ts";
import type { Answer } from "./wire.ts";

const CONNECTIONS_MAX = 512;
const RETRIES_MAX = 2;
const TURN_MS = 4;
/** Retries that the spike left go on after it, for as long as the longest `Retry-After`. */
const TAIL_MS_MAX = 65_000;

interface Intent {
  readonly name: string;
  readonly request: (retry: number) => string;
}

interface Retry {
  readonly dueMs: number;
  readonly intent: Intent;
  readonly made: number;
}

process.on("message", (plan: Plan) => {
  process.removeAllListeners("message");
  const generator = new Generator(plan);
  void generator.run().then((told) => process.send?.(told, () => process.exit(0)));
});

class Generator {
  readonly #plan: Plan;
  readonly #wire: Wire;
  readonly #random: () => number;
  readonly #latencies: Record<string, number[]> = {};
  readonly #accepted: [string, string][] = [];
  readonly #retries: Retry[] = [];
  #intents = 0;
  #requests = 0;
  #retried = 0;
  #underWay = 0;
  #lateMsMax = 0;
  #connectionsMax = 0;

  constructor(plan: Plan) {
    this.#plan = plan;
    this.#wire = new Wire(new URL(plan.edgeUrl), CONNECTIONS_MAX);
    this.#random = seeded(plan.seed);
  }

  async run(): Promise<Told> {
    const { perSecond, seconds } = this.#plan;
    const fromMs = performance.now();
    const slots = Math.round(perSecond * seconds);
    for (let slot = 0; slot < slots;) {
      const nowMs = performance.now();
      for (; slot < slots && fromMs + (slot * 1_000) / perSecond <= nowMs; slot++) {
        const dueMs = fromMs + (slot * 1_000) / perSecond;
        this.#lateMsMax = Math.max(this.#lateMsMax, nowMs - dueMs);
        this.#send(dueMs, this.#dueRetry(nowMs) ?? { intent: this.#intend(), made: 0, dueMs });
      }
      await sleep(TURN_MS);
    }
    process.send?.("over");
    await this.#tail(performance.now() + TAIL_MS_MAX);
    this.#wire.close();
    return {
      intents: this.#intents,
      requests: this.#requests,
      retries: this.#retried,
      latencies: this.#latencies,
      accepted: this.#accepted,
      connectionsMax: this.#connectionsMax,
      lateMsMax: this.#lateMsMax,
    };
  }

  async #tail(untilMs: number): Promise<void> {
    while ((this.#retries.length > 0 || this.#underWay > 0) && performance.now() < untilMs) {
      const nowMs = performance.now();
      for (let retry = this.#dueRetry(nowMs); retry !== null; retry = this.#dueRetry(nowMs)) {
        this.#send(retry.dueMs, retry);
      }
      await sleep(TURN_MS);
    }
  }

  #send(dueMs: number, { intent, made }: Retry): void {
    this.#requests++;
    this.#underWay++;
    if (made > 0) this.#retried++;
    void this.#wire.ask(intent.request(made)).then((answer) => {
      this.#underWay--;
      this.#connectionsMax = Math.max(this.#connectionsMax, this.#wire.open);
      this.#heard(answer, intent, made, performance.now() - dueMs);
    });
  }

  #heard(answer: Answer | null, intent: Intent, made: number, tookMs: number): void {
    (this.#latencies[outcomeOf(answer)] ??= []).push(Math.round(tookMs * 10) / 10);
    if (answer?.status === 200 && this.#plan.profile === "creates") {
      this.#accepted.push([intent.name, (JSON.parse(answer.body) as { id: string }).id]);
    }
    const afterMs = made < RETRIES_MAX ? retryAfterMs(answer, made, this.#random()) : null;
    if (afterMs === null) return;
    const dueMs = performance.now() + afterMs;
    // Kept in order of their times, the earliest last.
    let at = this.#retries.length;
    while (at > 0 && (this.#retries[at - 1]?.dueMs ?? 0) < dueMs) at--;
    this.#retries.splice(at, 0, { dueMs, intent, made: made + 1 });
  }

  #dueRetry(nowMs: number): Retry | null {
    const next = this.#retries.at(-1);
    if (next === undefined || next.dueMs > nowMs) return null;
    return this.#retries.pop() ?? null;
  }

  #intend(): Intent {
    const name = `op-${this.#intents++}`;
    const account = Math.floor(this.#random() * this.#plan.apiKeys.length);
    const head = (method: string, path: string, retry: number) =>
      `${method} ${path} HTTP/1.1\r\nhost: edge\r\nauthorization: Bearer ${this.#plan.apiKeys[account]}\r\nx-stainless-retry-count: ${retry}\r\n`;
    if (this.#plan.profile === "reads") {
      const path = this.#random() < 0.9 ? `/v1/videos/${this.#plan.videos[account]}` : "/v1/videos?limit=20";
      return { name, request: (retry) => `${head("GET", path, retry)}\r\n` };
    }
    const body = JSON.stringify(video(name));
    const rest = `content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
    return { name, request: (retry) => head("POST", "/v1/videos", retry) + rest };
  }
}

function video(name: string) {
  return { prompt: `!idle=150 ${name}`, size: "320x192", seconds: "1", steps: 8, metadata: { op: name } };
}

function outcomeOf(answer: Answer | null): string {
  if (answer === null) return "broken";
  if (answer.status === 200) return "200";
  const code = /"code":"([a-z_]+)"/.exec(answer.body)?.[1];
  return `${answer.status} ${code ?? "?"}`;
}

/** Null: the SDK tells its caller. */
function retryAfterMs(answer: Answer | null, made: number, chance: number): number | null {
  const backoffMs = Math.min(8_000, 500 * 2 ** made) * (1 - 0.25 * chance);
  if (answer === null) return backoffMs;
  const told = answer.headers.get("x-should-retry");
  const retries =
    told === "true" || (told !== "false" && [408, 409, 429].includes(answer.status)) || answer.status >= 500;
  if (!retries || told === "false") return null;
  const ms = answer.headers.get("retry-after-ms");
  const seconds = answer.headers.get("retry-after");
  if (ms !== undefined) return Number(ms);
  return seconds === undefined ? backoffMs : Number(seconds) * 1_000;
}

/** Mulberry32. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
