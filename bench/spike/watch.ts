/** Looks at the parts of a stack once a second, and remembers the most that it saw. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Parts, Site } from "./site.ts";

const SAMPLE_MS = 1_000;

export class Watch {
  readonly most: Record<string, number> = {};
  last: Parts | null = null;
  readonly #site: Site;
  #stopped = false;
  readonly #watching: Promise<void>;

  constructor(site: Site) {
    this.#site = site;
    this.#watching = this.#watch();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#watching;
  }

  async #watch(): Promise<void> {
    while (!this.#stopped) {
      const [parts, waiting] = [await this.#site.parts(), await this.#site.waiting()];
      this.last = parts;
      this.#see("queue", waiting);
      for (const [name, { mib, sockets }] of Object.entries(parts)) {
        this.#see(`${name} MiB`, Math.round(mib));
        this.#see(`${name} sockets`, sockets);
      }
      for (const line of await this.#site.metrics("calls_limit ")) this.#see("calls_limit", Number(line.split(" ")[1]));
      await sleep(SAMPLE_MS);
    }
  }

  #see(name: string, value: number): void {
    this.most[name] = Math.max(this.most[name] ?? 0, value);
  }
}
