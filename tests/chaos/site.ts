/**
 * The place where it happens: the product as `npm start` supervises it, with two replicas and no runners of its own, a
 * fleet of real runners behind wires, a webhook receiver, and a witness in the database.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { Secrets } from "#cli/home.ts";
import { Product, until } from "#tests/support/product.ts";
import { EdgeCaller } from "./edge-caller.ts";
import { Fleet } from "./fleet.ts";
import { gone, signal } from "./processes.ts";
import { Receiver } from "./receiver.ts";
import { Witness } from "./witness.ts";

const REPLICAS = 2;
const RETRIES_PER_MINUTE = 10_000;
const ANSWER_MS = 60_000;
const LIVE_TRY_MS = 300;
const LIVE_POLL_MS = 15;
/** The supervisor starts a part that ran this long again at once; one that did not, after a pause that would be measured. */
const RAN_WELL_MS = 10_500;

export interface Replica {
  readonly index: number;
  readonly name: string;
  readonly url: string;
  readonly port: number;
}

export interface Leader {
  readonly replica: Replica;
  readonly epoch: number;
}

export class Site {
  readonly product: Product;
  readonly secrets: Secrets;
  readonly replicas: readonly Replica[];
  readonly fleet: Fleet;
  readonly receiver: Receiver;
  readonly witness: Witness;
  readonly caller: EdgeCaller;
  /** When each pid was first seen. */
  readonly #seenMs = new Map<number, number>();

  static async open(): Promise<Site> {
    const product = await Product.start({
      CALLSHEET_REPLICAS: String(REPLICAS),
      CALLSHEET_RUNNERS: "0",
      CALLSHEET_LOG: "info",
    });
    const secrets = Secrets.parse(JSON.parse(await readFile(join(product.home, "secrets.json"), "utf8")));
    const replicas = await Promise.all(Array.from({ length: REPLICAS }, (_, index) => replicaOf(product, index)));
    const site = new Site(product, secrets, replicas, await Receiver.open(), await Witness.call(product.sql));
    await site.#terms();
    return site;
  }

  constructor(product: Product, secrets: Secrets, replicas: readonly Replica[], receiver: Receiver, witness: Witness) {
    this.product = product;
    this.secrets = secrets;
    this.replicas = replicas;
    this.receiver = receiver;
    this.witness = witness;
    this.caller = new EdgeCaller(
      secrets.edge_secret,
      replicas.map(({ url }) => url),
    );
    const ports = replicas.map(({ port }) => port);
    this.fleet = new Fleet(product.home, { url: product.dev.admin_url, token: secrets.admin_token }, ports);
  }

  async close(): Promise<void> {
    await this.fleet.close();
    await this.product.stop();
    await this.receiver.close();
  }

  async pidOf(replica: Replica): Promise<number> {
    return (await this.product.pids()).control_plane[replica.index] ?? 0;
  }

  leader(): Promise<Leader> {
    return until("somebody leads", ANSWER_MS, async () => {
      const [row] = await this.product.sql<{ url: string; epoch: number }[]>`
        select url, epoch from leader where expires_at > clock_timestamp()`;
      const replica = this.replicas.find(({ url }) => url === row?.url);
      return row === undefined || replica === undefined ? null : { replica, epoch: row.epoch };
    });
  }

  other(than: Replica): Replica {
    const other = this.replicas.find((replica) => replica !== than);
    if (other === undefined) throw new Error("there is only one replica");
    return other;
  }

  /** Until the supervisor would start these again at once; rounds that are too close would measure its back-off. */
  async ranWell(pids: readonly number[]): Promise<void> {
    const now = performance.now();
    const left = pids.map((pid) => {
      const seen = this.#seenMs.get(pid) ?? now;
      this.#seenMs.set(pid, seen);
      return RAN_WELL_MS - (now - seen);
    });
    await sleep(Math.max(0, ...left));
  }

  /** Milliseconds until a replica answers again, asked all the time. */
  async backAfter(replica: Replica, fromMs: number): Promise<number> {
    const endMs = performance.now() + ANSWER_MS;
    while (performance.now() < endMs) {
      const answer = await fetch(`${replica.url}/readyz`, { signal: AbortSignal.timeout(LIVE_TRY_MS) }).catch(
        () => null,
      );
      await answer?.body?.cancel();
      if (answer?.ok === true) return Date.now() - fromMs;
      await sleep(LIVE_POLL_MS);
    }
    throw new Error(`${replica.name} did not come back within ${ANSWER_MS} ms`);
  }

  /** The new pid of a replica that ended, once the supervisor has published it. */
  async restarted(replica: Replica, oldPid: number): Promise<number> {
    const pid = await until(`${replica.name} has a new pid`, ANSWER_MS, async () => {
      const now = await this.pidOf(replica);
      return now !== oldPid && now !== 0 ? now : null;
    });
    this.#seenMs.set(pid, performance.now());
    return pid;
  }

  /** Makes a replica lead: all others are frozen until it does. */
  async makeLead(wanted: string, others: readonly number[]): Promise<void> {
    for (const pid of others) signal(pid, "SIGSTOP");
    try {
      await until(`${wanted} leads`, ANSWER_MS, async () => {
        const rows = await this.product
          .sql`select 1 from leader where url = ${wanted} and expires_at > clock_timestamp()`;
        return rows.length === 1;
      });
    } finally {
      for (const pid of others) signal(pid, "SIGCONT");
    }
  }

  gone(pid: number, deadlineMs: number): Promise<number | null> {
    return gone(pid, deadlineMs);
  }

  /**
   * `victim` goes first, so that what is measured is the fault, not the queue; `crowd` takes two devices at most. More breaks here
   * in a minute than a retry budget lets go on at once.
   */
  async #terms(): Promise<void> {
    const tier = { max_queued: 10_000, creates_per_minute: 1_000_000, creates_burst: 1_000_000, start_bound_s: 86_400 };
    await this.product.admin("PUT", "/tiers/victim", { ...tier, weight: 10_000, max_running: 1_000 });
    await this.product.admin("PATCH", "/scheduler/limits", { retries_per_minute: RETRIES_PER_MINUTE });
    await this.product.admin("PUT", "/tiers/crowd", { ...tier, weight: 1, max_running: 2, tier_max_running: 2 });
  }
}

async function replicaOf(product: Product, index: number): Promise<Replica> {
  const name = index === 0 ? "control-plane" : `control-plane-${index + 1}`;
  const log = await readFile(join(product.home, "logs", `${name}.log`), "utf8");
  const ready = /^.*"control plane ready".*$/m.exec(log)?.[0] ?? "{}";
  const { port } = z.looseObject({ port: z.int() }).parse(JSON.parse(ready));
  return { index, name, url: `http://127.0.0.1:${port}`, port };
}
