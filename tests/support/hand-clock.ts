/** A clock that a test turns by hand: timers run when their time is passed, in order. */
import type { Cancel, Clock } from "#control-plane/core/clock.ts";

interface Timer {
  readonly atMs: number;
  readonly act: () => void;
}

export class HandClock implements Clock {
  readonly #timers = new Set<Timer>();
  #ms = 0;

  nowMs(): number {
    return this.#ms;
  }

  monotonicMs(): number {
    return this.#ms;
  }

  after(delayMs: number, act: () => void): Cancel {
    const timer = { atMs: this.#ms + delayMs, act };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Lets what is under way come to rest after each timer. */
  async pass(ms: number): Promise<void> {
    const untilMs = this.#ms + ms;
    for (;;) {
      await new Promise(setImmediate);
      const [next] = [...this.#timers].filter(({ atMs }) => atMs <= untilMs).toSorted((a, b) => a.atMs - b.atMs);
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#ms = Math.max(this.#ms, next.atMs);
      next.act();
    }
    this.#ms = untilMs;
  }
}
