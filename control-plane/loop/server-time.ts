/**
 * The database's time without asking it: read once, carried on by this process's monotonic clock, and led after slowly. What is
 * stored is compared with it, so a replica's clock that jumps changes no order and no delay.
 */
import type { Clock } from "#control-plane/core/clock.ts";

/** Correction a reading: more than any clock drifts between two, too little for a slow answer to matter. */
const SLEW_MS_MAX = 1;

export class ServerTime {
  readonly #clock: Clock;
  #offsetMs: number | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** What the database said just now. */
  heard(atMs: number): void {
    const offsetMs = atMs - this.#clock.monotonicMs();
    const errorMs = offsetMs - (this.#offsetMs ?? offsetMs);
    this.#offsetMs = (this.#offsetMs ?? offsetMs) + Math.max(-SLEW_MS_MAX, Math.min(SLEW_MS_MAX, errorMs));
  }

  /** Milliseconds since 1970; this process's own idea of it until something was heard. */
  nowMs(): number {
    return this.#offsetMs === null ? this.#clock.nowMs() : Math.floor(this.#clock.monotonicMs() + this.#offsetMs);
  }
}
