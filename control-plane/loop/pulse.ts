/**
 * Feels the replica's pulse: how long a trivial statement takes on the connections that renewals, ends of videos and the scheduler
 * use. It grows when PostgreSQL, this process or the machine has too much to do, whoever it is that does it.
 */
import type { Sql } from "#control-plane/db/connect.ts";
import { serverTimeMs } from "#control-plane/usecase/lead.ts";
import { Ticker } from "./ticker.ts";
import type { LoopHost, Service } from "./ticker.ts";

const PULSE_MS = 250;

export class Pulse implements Service {
  readonly #ticker: Ticker;

  constructor(sql: Sql, host: LoopHost, felt: (pulseMs: number) => void) {
    this.#ticker = new Ticker("pulse", PULSE_MS, host, async () => {
      const fromMs = host.clock.monotonicMs();
      await serverTimeMs(sql);
      felt(host.clock.monotonicMs() - fromMs);
    });
  }

  start(): void {
    this.#ticker.start();
  }

  stop(): Promise<void> {
    return this.#ticker.stop();
  }
}
