/**
 * The one shape of every background loop: a turn at a time, again when woken or when the interval has passed.
 *
 * A turn that throws is logged and tried again after the interval; the loop itself never ends before `stop`, which
 * waits for the turn under way.
 */
import type { Logger } from "pino";

export interface Service {
  start(): void;
  stop(): Promise<void>;
}

export class Ticker implements Service {
  readonly #name: string;
  readonly #intervalMs: number;
  readonly #turn: () => Promise<void>;
  readonly #log: Logger;
  #timer: NodeJS.Timeout | null = null;
  #running: Promise<void> | null = null;
  #stopped = true;
  #woken = false;

  constructor(name: string, intervalMs: number, log: Logger, turn: () => Promise<void>) {
    this.#name = name;
    this.#intervalMs = intervalMs;
    this.#log = log;
    this.#turn = turn;
  }

  start(): void {
    this.#stopped = false;
    this.#schedule(0);
  }

  /** Runs a turn as soon as the one under way ends. */
  wake(): void {
    this.#woken = true;
    if (this.#running === null) this.#schedule(0);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#running;
  }

  #schedule(delayMs: number): void {
    if (this.#stopped) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#running = this.#run().finally(() => {
        this.#running = null;
        this.#schedule(this.#woken ? 0 : this.#intervalMs);
      });
    }, delayMs);
  }

  async #run(): Promise<void> {
    this.#woken = false;
    try {
      await this.#turn();
    } catch (error) {
      this.#log.warn({ loop: this.#name, err: error }, "a loop's turn failed; it will be tried again");
    }
  }
}
