/**
 * Makes events the way users do: asks for videos of one account through the edge and cancels most of them; the rest are
 * rendered. It rests between bursts for longer than an object stays awake, so that the runtime evicts it.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Random } from "#tests/chaos/random.ts";

const BURST_MS = 14_000;
/** An idle object hibernates after 10 s. */
const REST_MS = 13_000;
const RENDERED = 0.05;
const CALL_MS = 15_000;

export class Producer {
  readonly #edgeUrl: string;
  readonly #apiKey: string;
  readonly #random: Random;
  readonly #perSecond: number;
  readonly #end = new AbortController();
  readonly #ended: Promise<void>;
  made = 0;
  failed = 0;

  constructor(edgeUrl: string, apiKey: string, random: Random, perSecond: number) {
    this.#edgeUrl = edgeUrl;
    this.#apiKey = apiKey;
    this.#random = random;
    this.#perSecond = perSecond;
    this.#ended = this.#produce();
  }

  async stop(): Promise<void> {
    this.#end.abort();
    await this.#ended;
  }

  async #produce(): Promise<void> {
    await this.#pause(this.#random.unit() * REST_MS);
    while (!this.#end.signal.aborted) {
      const untilMs = performance.now() + BURST_MS;
      while (performance.now() < untilMs && !this.#end.signal.aborted) {
        await this.#video();
        await this.#pause((this.#random.unit() * 2_000) / this.#perSecond);
      }
      await this.#pause(REST_MS);
    }
  }

  async #video(): Promise<void> {
    const isRendered = this.#random.chance(RENDERED);
    const body = { prompt: isRendered ? "!idle=50 a storm" : "a storm", size: "320x192", seconds: 1, steps: 4 };
    const made = await this.#call("/v1/videos", body);
    const { id } = (made ?? {}) as { id?: string };
    if (id === undefined) return;
    this.made += 1;
    if (!isRendered) await this.#call(`/v1/videos/${id}/cancel`, {});
  }

  /** A call that a fault broke is not repeated: what came of it is in the log. */
  async #call(path: string, body: object): Promise<unknown> {
    try {
      const answer = await fetch(this.#edgeUrl + path, {
        method: "POST",
        headers: { authorization: `Bearer ${this.#apiKey}`, "content-type": "application/json" },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(CALL_MS),
      });
      const said: unknown = await answer.json();
      if (answer.ok) return said;
    } catch {
      // The edge is down for a moment.
    }
    this.failed += 1;
    return null;
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#end.signal }).catch(() => undefined);
  }
}
