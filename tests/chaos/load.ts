/**
 * Twenty clients that submit, cancel and read while faults happen. Half come through the edge with an API key and repeat
 * a broken call once, as SDKs do; half speak as the edge itself and repeat a create under the same `create_key` until they
 * know what became of it. Their videos wait instead of computing, so that the load does not steal what is measured.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { type EdgeCaller, mintCreateKey } from "./edge-caller.ts";
import type { History, Operation } from "./history.ts";
import type { Random } from "./random.ts";

export const CLIENTS = 20;
const THINK_MS = { min: 800, max: 2_400 } as const;
const OPEN_JOBS_MAX = 2;
const CALL_MS = 15_000;
const CLIENT_RETRY_MS = 500;
const VIDEO = { size: "320x192", seconds: 1, steps: 2 } as const;

const Created = z.looseObject({ id: z.string(), status: z.string() });
type Created = z.infer<typeof Created>;

interface LoadAccount {
  readonly id: string;
  readonly apiKey: string;
}

export interface LoadHost {
  readonly edgeUrl: string;
  readonly caller: EdgeCaller;
  readonly accounts: readonly LoadAccount[];
  readonly history: History;
}

export class Load {
  readonly #host: LoadHost;
  readonly #end = new AbortController();
  readonly #clients: readonly Promise<void>[];

  constructor(host: LoadHost, random: Random, clients: number) {
    this.#host = host;
    this.#clients = Array.from({ length: clients }, (_, index) => this.#client(index, random.fork(`client ${index}`)));
  }

  /** Resolves when every client has ended its call and has asked to cancel what it left open. */
  async stop(): Promise<void> {
    this.#end.abort();
    await Promise.all(this.#clients);
  }

  async #client(index: number, random: Random): Promise<void> {
    const account = this.#host.accounts[index % this.#host.accounts.length];
    if (account === undefined) throw new Error("a load without accounts");
    const open: string[] = [];
    const speak = index % 2 === 0 ? this.#throughEdge(account) : this.#asEdge(account, index);
    while (!this.#end.signal.aborted) {
      await this.#turn(random, speak, open);
      await sleep(random.int(THINK_MS.min, THINK_MS.max), undefined, { signal: this.#end.signal }).catch(
        () => undefined,
      );
    }
    for (const job of open) await speak("cancel", job);
  }

  async #turn(random: Random, speak: Speak, open: string[]): Promise<void> {
    const oldest = open[0];
    if (oldest === undefined || (open.length < OPEN_JOBS_MAX && random.chance(0.7))) {
      const made = await speak("submit", null);
      if (made !== null) open.push(made.id);
      return;
    }
    const seen = await speak(random.chance(0.3) ? "cancel" : "read", oldest);
    if (seen !== null && (seen.status === "completed" || seen.status === "failed")) open.shift();
  }

  #throughEdge(account: LoadAccount): Speak {
    const { history, edgeUrl } = this.#host;
    return async (kind, job) => {
      for (let tries = 1; ; tries++) {
        const operation = history.invoke(kind, account.id, job);
        const said = await this.#fetchEdge(edgeUrl, account.apiKey, operation);
        if (said !== "again") return said;
        if (tries === 2) {
          history.failedCalls.push(
            `${operation.kind} at ${new Date(operation.invokedAtMs).toISOString()}: ${operation.said}`,
          );
          return null;
        }
        await sleep(CLIENT_RETRY_MS);
      }
    };
  }

  async #fetchEdge(edgeUrl: string, apiKey: string, operation: Operation): Promise<Created | null | "again"> {
    const { history } = this.#host;
    const { method, path, video } = requestOf(operation);
    try {
      const response = await fetch(`${edgeUrl}/v1${path}`, {
        method,
        headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json" },
        ...(video === null ? {} : { body: JSON.stringify(video) }),
        signal: AbortSignal.timeout(CALL_MS),
      });
      const body: unknown = await response.json();
      return settle(history, operation, response.status, body);
    } catch (error) {
      history.end(operation, "info", faultOf(error));
      return "again";
    }
  }

  #asEdge(account: LoadAccount, first: number): Speak {
    const { caller, history } = this.#host;
    return async (kind, job) => {
      const operation = history.invoke(kind, account.id, job);
      const { method, path, video } = requestOf(operation);
      const body = video === null ? undefined : { create_key: mintCreateKey(), video };
      const call = { method, path, account: account.id, ...(body === undefined ? {} : { body }) } as const;
      const said = await caller.untilAnswered(call, CALL_MS, first);
      if (said === null) {
        history.end(operation, "info", "no answer");
        return null;
      }
      if (kind === "submit" && said.tries > 1) history.sentAgain++;
      const settled = settle(history, operation, said.answer.status, said.answer.body);
      return settled === "again" ? null : settled;
    };
  }
}

/** Null: it was refused or nobody knows. */
type Speak = (kind: Operation["kind"], job: string | null) => Promise<Created | null>;

function requestOf(operation: Operation) {
  const { kind, job, name } = operation;
  if (kind === "submit") {
    const video = { ...VIDEO, prompt: `!idle=400 ${name}`, metadata: { op: name } };
    return { method: "POST", path: "/videos", video } as const;
  }
  if (kind === "cancel") return { method: "POST", path: `/videos/${job}/cancel`, video: null } as const;
  return { method: "GET", path: `/videos/${job}`, video: null } as const;
}

function settle(history: History, operation: Operation, status: number, body: unknown): Created | null | "again" {
  if (status === 200) {
    const created = Created.parse(body);
    history.end(operation, "ok", "200", created.id);
    return created;
  }
  const outcome = status >= 500 ? "info" : "fail";
  history.end(operation, outcome, `${status} ${JSON.stringify(body).slice(0, 200)}`);
  return outcome === "info" ? "again" : null;
}

function faultOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
