/** What a row works with: the site, its own accounts with their history, the load, and where figures go. */
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { until } from "#tests/support/product.ts";
import { mintCreateKey } from "./edge-caller.ts";
import { Figures } from "./figures.ts";
import type { FleetRunner } from "./fleet.ts";
import { History } from "./history.ts";
import { Load } from "./load.ts";
import type { Random } from "./random.ts";
import type { Row } from "./row.ts";
import type { Site } from "./site.ts";
import type { SeenDispatch } from "./witness.ts";

const CROWD_ACCOUNTS = 3;
const GRANT = "10000000";
/** Of every victim: two of one prompt end with the same picture. */
const SEED = 5;
const SETUP_MS = 60_000;
const START_MS = 30_000;
const SUBMIT_MS = 20_000;
const WITNESS_POLL_MS = 10;
const Created = z.looseObject({ id: z.string() });

export interface Victim {
  readonly job: string;
  readonly epoch: number;
  readonly runner: FleetRunner;
  readonly startedAtMs: number;
}

export class Stage {
  readonly site: Site;
  readonly random: Random;
  readonly history: History;
  readonly figures: Figures;
  readonly breaches: string[] = [];
  readonly notes: string[] = [];
  /** Files in the store that the nemesis spoiled. */
  readonly spoiled = new Set<string>();
  readonly beganAtMs = Date.now();
  readonly accounts: readonly { readonly id: string; readonly apiKey: string }[];
  readonly victims: { readonly id: string; readonly apiKey: string };
  readonly #load: Load;

  /** `clients`: rows that run at the same time share the load. */
  static async open(site: Site, row: Row, random: Random, clients: number): Promise<Stage> {
    const accounts = await Promise.all(
      Array.from({ length: CROWD_ACCOUNTS }, () => site.product.account("crowd", GRANT)),
    );
    const victims = await site.product.account("victim", GRANT);
    await Promise.all([...accounts, victims].map(({ apiKey }) => listen(site, apiKey)));
    return new Stage(site, row, random, accounts, victims, clients);
  }

  private constructor(
    site: Site,
    row: Row,
    random: Random,
    accounts: Stage["accounts"],
    victims: Stage["victims"],
    clients: number,
  ) {
    this.site = site;
    this.random = random;
    this.accounts = accounts;
    this.victims = victims;
    this.history = new History(`${row.id}-${random.int(0, 1e9)}`);
    this.figures = new Figures(row.goals);
    const { caller, product } = site;
    this.#load = new Load(
      { edgeUrl: product.dev.edge_url, caller, accounts, history: this.history },
      random.fork("load"),
      clients,
    );
  }

  get accountIds(): readonly string[] {
    return [...this.accounts, this.victims].map(({ id }) => id);
  }

  stopLoad(): Promise<void> {
    return this.#load.stop();
  }

  breach(what: string): void {
    this.breaches.push(what);
  }

  /** A create of the victims' account, told through a replica; repeated under one `create_key` until it is known. */
  async submit(prompt: string, steps: number, first = 0): Promise<string> {
    const operation = this.history.invoke("submit", this.victims.id);
    const video = { prompt, size: "320x192", seconds: 1, steps, seed: SEED, metadata: { op: operation.name } };
    const call = {
      method: "POST",
      path: "/videos",
      account: this.victims.id,
      body: { create_key: mintCreateKey(), video },
    } as const;
    const said = await this.site.caller.untilAnswered(call, SUBMIT_MS, first);
    if (said === null || said.answer.status !== 200) {
      this.history.end(operation, "info", `${said?.answer.status ?? "no answer"}`);
      throw new Error(`a victim could not be submitted: ${JSON.stringify(said?.answer.body ?? "no answer")}`);
    }
    const { id } = Created.parse(said.answer.body);
    this.history.end(operation, "ok", "200", id);
    return id;
  }

  /** Submits a job and waits until a runner of the fleet denoises it. */
  async victim(idleMs: number, steps: number): Promise<Victim> {
    return this.running(await this.submit(`!idle=${idleMs} a lighthouse`, steps));
  }

  running(job: string): Promise<Victim> {
    return until(`${job} runs`, START_MS, async () => {
      const [row] = await this.site.product.sql<{ epoch: number; runner_id: string | null; state: string }[]>`
        select epoch, runner_id, state from job where id = ${job}`;
      if (row?.runner_id === null || row?.state !== "running") return null;
      return { job, epoch: row.epoch, runner: this.site.fleet.named(row.runner_id), startedAtMs: Date.now() };
    });
  }

  async cancel(job: string): Promise<void> {
    const operation = this.history.invoke("cancel", this.victims.id, job);
    const call = { method: "POST", path: `/videos/${job}/cancel`, account: this.victims.id } as const;
    const said = await this.site.caller.untilAnswered(call, SUBMIT_MS);
    this.history.end(operation, said?.answer.status === 200 ? "ok" : "info", String(said?.answer.status));
  }

  /** The dispatch that follows `epoch`, as the database saw it. */
  async redispatched(job: string, epoch: number, deadlineMs: number): Promise<SeenDispatch | null> {
    return this.poll(deadlineMs, () => this.site.witness.dispatchAfter(job, epoch));
  }

  async poll<Value>(deadlineMs: number, ask: () => Promise<Value | null>): Promise<Value | null> {
    const endMs = performance.now() + deadlineMs;
    while (performance.now() < endMs) {
      const value = await ask();
      if (value !== null) return value;
      await sleep(WITNESS_POLL_MS);
    }
    return null;
  }
}

/** The edge may still shed what waits well after the fault of the row before: asked again, as any client would. */
async function listen(site: Site, apiKey: string): Promise<void> {
  await until("the receiver is registered", SETUP_MS, async () => {
    const response = await fetch(`${site.product.dev.edge_url}/v1/webhook_endpoints`, {
      method: "POST",
      headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json" },
      body: JSON.stringify({ url: site.receiver.url, events: ["video.completed", "video.failed", "video.cancelled"] }),
    });
    const text = await response.text();
    if (response.status !== 503 && !response.ok) throw new Error(`no webhook endpoint: ${response.status} ${text}`);
    return response.ok;
  });
}
