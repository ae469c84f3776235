/**
 * Keeps one part running: a part that ends unasked is started again, the first time at once, then with growing pauses;
 * a part that ran well for a while starts with a clean slate.
 *
 * States: idle → starting → running ⇄ restarting → stopped. After `stop` or `kill` nothing is started any more.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Child } from "./child.ts";
import { RAN_WELL_MS, restartDelayMs } from "./restart-backoff.ts";

export interface Part {
  readonly name: string;
  launch(): Promise<Child>;
}

export interface Reports {
  /** The part ended unasked and will be started again after `delayMs`. */
  ended(name: string, why: string, delayMs: number): void;
  /** The part serves again, under another pid. */
  restarted(name: string, pid: number): void;
}

export class Supervised {
  readonly name: string;
  readonly #part: Part;
  readonly #reports: Reports;
  readonly #end = new AbortController();
  #child: Child | null = null;
  #launching: Promise<Child> | null = null;
  #loop: Promise<void> = Promise.resolve();

  constructor(part: Part, reports: Reports) {
    this.name = part.name;
    this.#part = part;
    this.#reports = reports;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** The first start: a part that cannot start is the caller's fault to report, not ours to repeat. */
  async start(): Promise<void> {
    const child = await this.#launch();
    await child.ready;
    if (!this.#end.signal.aborted) this.#loop = this.#keep(child, Date.now());
  }

  async stop(): Promise<void> {
    this.#end.abort();
    await this.#launching?.catch(() => undefined);
    await this.#child?.stop();
    await this.#loop;
  }

  kill(): void {
    this.#end.abort();
    this.#child?.kill();
  }

  async #launch(): Promise<Child> {
    if (this.#end.signal.aborted) throw new Error(`${this.name} is being stopped`);
    this.#launching = this.#part.launch();
    this.#child = await this.#launching;
    return this.#child;
  }

  async #keep(first: Child, firstReadyAt: number): Promise<void> {
    let child: Child | null = first;
    let readyAt: number | null = firstReadyAt;
    let failures = 0;
    for (;;) {
      const why: string = child === null ? "it could not be started" : await child.exited;
      if (this.#end.signal.aborted) return;
      if (readyAt !== null && Date.now() - readyAt >= RAN_WELL_MS) failures = 0;
      const delayMs = restartDelayMs(failures++);
      this.#reports.ended(this.name, why, delayMs);
      await sleep(delayMs, undefined, { signal: this.#end.signal }).catch(() => undefined);
      if (this.#end.signal.aborted) return;
      readyAt = null;
      child = await this.#launch().catch(() => null);
      if (child === null || !(await becomesReady(child))) continue;
      readyAt = Date.now();
      this.#reports.restarted(this.name, child.pid);
    }
  }
}

/** A child that never gets ready is ended, so that its `exited` leads to the next try. */
async function becomesReady(child: Child): Promise<boolean> {
  try {
    await child.ready;
    return true;
  } catch {
    // Why it is not ready is in its log; that it ended is reported by the loop.
    child.kill();
    return false;
  }
}
