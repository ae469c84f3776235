/**
 * Follower ⇄ leader: holds the lease row or waits for it, and starts or stops what only a leader runs.
 *
 * A leader that cannot renew stops before its lease ends by its own monotonic clock; the epoch check in every
 * scheduling transaction holds even if it does not notice.
 */
import type { Logger } from "pino";
import { LEADER_LEASE_MS } from "#control-plane/usecase/lead.ts";
import type { Lead } from "#control-plane/usecase/lead.ts";
import { Ticker } from "./ticker.ts";
import type { Service } from "./ticker.ts";

const RENEW_MS = 1_500;
const STOP_BEFORE_END_MS = 500;

export interface Reign {
  /** Runs until `end`; must be ready to work when it resolves. */
  begin(epoch: number): Promise<void>;
  end(): Promise<void>;
}

export class Leadership implements Service {
  readonly #lead: Lead;
  readonly #holder: string;
  readonly #url: string;
  readonly #reign: Reign;
  readonly #log: Logger;
  readonly #ticker: Ticker;
  #epoch: number | null = null;
  #trustedUntilMs = 0;
  #leaderUrl: string | null = null;

  constructor(lead: Lead, self: { readonly holder: string; readonly url: string }, reign: Reign, log: Logger) {
    this.#lead = lead;
    this.#holder = self.holder;
    this.#url = self.url;
    this.#reign = reign;
    this.#log = log;
    this.#ticker = new Ticker("leadership", RENEW_MS, log, () =>
      this.#epoch === null ? this.#apply() : this.#renew(this.#epoch),
    );
  }

  /** Where another replica leads; null if this one does, or nobody. At most one renewal old. */
  get leaderUrl(): string | null {
    return this.#leaderUrl;
  }

  start(): void {
    this.#ticker.start();
  }

  async stop(): Promise<void> {
    await this.#ticker.stop();
    if (this.#epoch === null) return;
    const epoch = this.#epoch;
    await this.#stepDown("shutting down");
    await this.#lead.resign(epoch);
  }

  async #apply(): Promise<void> {
    const askedAtMs = performance.now();
    const epoch = await this.#lead.take(this.#holder, this.#url);
    if (epoch === null) {
      this.#leaderUrl = await this.#lead.url();
      return;
    }
    this.#leaderUrl = null;
    this.#trustedUntilMs = askedAtMs + LEADER_LEASE_MS - STOP_BEFORE_END_MS;
    await this.#reign.begin(epoch);
    this.#epoch = epoch;
    this.#log.info({ epoch }, "leading");
  }

  async #renew(epoch: number): Promise<void> {
    const askedAtMs = performance.now();
    try {
      if (await this.#lead.renew(epoch)) {
        this.#trustedUntilMs = askedAtMs + LEADER_LEASE_MS - STOP_BEFORE_END_MS;
        return;
      }
      await this.#stepDown("another replica leads");
    } catch (error) {
      this.#log.warn({ err: error }, "the leader's lease could not be renewed");
      if (performance.now() > this.#trustedUntilMs) await this.#stepDown("the lease may be over");
    }
  }

  async #stepDown(reason: string): Promise<void> {
    this.#epoch = null;
    await this.#reign.end();
    this.#log.info({ reason }, "leading no more");
  }
}
