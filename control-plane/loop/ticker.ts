/**
 * The one shape of every background loop: a turn at a time, again when woken or when the interval has passed; sooner, if
 * the turn itself says when.
 *
 * A turn that throws is logged and tried again after the interval; the loop itself never ends before `stop`, which
 * waits for the turn under way.
 */
import type { Logger } from "pino";
import type { Cancel, Clock } from "#control-plane/core/clock.ts";
import type { Meter } from "#control-plane/core/meter.ts";

export interface Service {
  start(): void;
  stop(): Promise<void>;
}

/** Answers after how many milliseconds it wants to run again, if that is not the interval. */
type Turn = () => Promise<number | null | void>;

/** What every loop needs of its process. */
export interface LoopHost {
  readonly clock: Clock;
  readonly log: Logger;
  readonly meter: Meter;
}

export class Ticker implements Service {
  readonly #name: string;
  readonly #intervalMs: number;
  readonly #turn: Turn;
  readonly #host: LoopHost;
  #cancel: Cancel | null = null;
  #running: Promise<void> | null = null;
  #stopped = true;
  #woken = false;

  constructor(name: string, intervalMs: number, host: LoopHost, turn: Turn) {
    this.#name = name;
    this.#intervalMs = intervalMs;
    this.#host = host;
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
    this.#cancel?.();
    await this.#running;
  }

  #schedule(delayMs: number): void {
    if (this.#stopped) return;
    this.#cancel?.();
    this.#cancel = this.#host.clock.after(delayMs, () => {
      this.#cancel = null;
      this.#running = this.#run().then((againMs) => {
        this.#running = null;
        this.#schedule(this.#woken ? 0 : Math.min(againMs, this.#intervalMs));
      });
    });
  }

  /** Never rejects. */
  async #run(): Promise<number> {
    this.#woken = false;
    try {
      return (await this.#turn()) ?? this.#intervalMs;
    } catch (error) {
      this.#host.meter.count("loop_failures_total", this.#name);
      this.#host.log.warn({ loop: this.#name, err: error }, "a loop's turn failed; it will be tried again");
      return this.#intervalMs;
    }
  }
}
