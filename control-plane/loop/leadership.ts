/**
 * Follower ⇄ leader: holds the lease row or waits for it, and starts or stops what only a leader runs.
 *
 * A follower looks often, because looking is one read of one row: the next leader is there soon after the last one resigned
 * or its lease ran out. A leader stops before its lease ends by its own monotonic clock, even while a renewal hangs; the
 * epoch check in every scheduling transaction holds even if it does not notice.
 */
import type { Cancel } from "#control-plane/core/clock.ts";
import { LEADER_LEASE_MS } from "#control-plane/usecase/lead.ts";
import type { Lead } from "#control-plane/usecase/lead.ts";
import { Ticker } from "./ticker.ts";
import type { LoopHost, Service } from "./ticker.ts";

const LOOK_MS = 250;
const RENEW_MS = 1_500;
const STOP_BEFORE_END_MS = 500;

export interface Reign {
  /** Runs until `end`; works when it resolves. */
  begin(epoch: number): Promise<void>;
  end(): Promise<void>;
}

interface Term {
  readonly epoch: number;
  /** Settles, never rejects, when what a leader runs is up or could not be started. */
  readonly begun: Promise<void>;
  renewAtMs: number;
  /** Ends the term when its lease may be over. */
  cancelEnd: Cancel;
}

export class Leadership implements Service {
  readonly #lead: Lead;
  readonly #self: { readonly holder: string; readonly url: string };
  readonly #reign: Reign;
  readonly #host: LoopHost;
  readonly #ticker: Ticker;
  #term: Term | null = null;
  /** The end of the last term, while it lasts. */
  #ending: Promise<void> = Promise.resolve();
  #leaderUrl: string | null = null;

  constructor(lead: Lead, self: { readonly holder: string; readonly url: string }, reign: Reign, host: LoopHost) {
    this.#lead = lead;
    this.#self = self;
    this.#reign = reign;
    this.#host = host;
    this.#ticker = new Ticker("leadership", LOOK_MS, host, () =>
      this.#term === null ? this.#apply() : this.#renew(this.#term),
    );
  }

  /** Where another replica leads; null if this one does, or nobody. */
  get leaderUrl(): string | null {
    return this.#leaderUrl;
  }

  start(): void {
    this.#ticker.start();
  }

  async stop(): Promise<void> {
    await this.#ticker.stop();
    const term = this.#term;
    if (term !== null) {
      this.#stepDown(term, "shutting down");
      await this.#ending;
      await this.#lead.resign(term.epoch);
    }
    await this.#ending;
  }

  async #apply(): Promise<void> {
    await this.#ending;
    const { url, free } = await this.#lead.look();
    this.#leaderUrl = url;
    if (!free) return;
    const askedAtMs = this.#host.clock.monotonicMs();
    const epoch = await this.#lead.take(this.#self.holder, this.#self.url);
    if (epoch === null) return; // Another one was first.
    this.#leaderUrl = null;
    // The lease is renewed while the world is loaded: that may take longer than the lease.
    const term: Term = { epoch, begun: this.#begin(epoch), renewAtMs: 0, cancelEnd: () => undefined };
    this.#term = term;
    this.#trust(term, askedAtMs);
  }

  async #begin(epoch: number): Promise<void> {
    try {
      await this.#reign.begin(epoch);
      this.#host.log.info({ epoch }, "leading");
    } catch (error) {
      this.#host.log.warn({ epoch, err: error }, "could not begin to lead");
      // Settled first: the end waits for it.
      queueMicrotask(() => {
        const term = this.#term;
        if (term?.epoch !== epoch) return;
        this.#stepDown(term, "could not begin");
        this.#lead.resign(epoch).catch(() => undefined); // Its lease ends by itself.
      });
    }
  }

  async #renew(term: Term): Promise<void> {
    const askedAtMs = this.#host.clock.monotonicMs();
    if (askedAtMs < term.renewAtMs) return;
    // A fault is logged by the ticker and tried again at the next look; the end of the lease does not wait for it.
    const renewed = await this.#lead.renew(term.epoch);
    if (this.#term !== term) {
      // It came too late: this replica has stopped, and another one need not wait for what was renewed.
      if (renewed) await this.#lead.resign(term.epoch);
      return;
    }
    if (renewed) this.#trust(term, askedAtMs);
    else this.#stepDown(term, "another replica leads");
  }

  /** The lease was asked for at this time, so it ends no sooner than its length later. */
  #trust(term: Term, askedAtMs: number): void {
    const leftMs = askedAtMs + LEADER_LEASE_MS - STOP_BEFORE_END_MS - this.#host.clock.monotonicMs();
    term.cancelEnd();
    term.cancelEnd = this.#host.clock.after(Math.max(0, leftMs), () => {
      if (this.#term === term) this.#stepDown(term, "the lease may be over");
    });
    term.renewAtMs = askedAtMs + RENEW_MS;
  }

  #stepDown(term: Term, reason: string): void {
    this.#term = null;
    term.cancelEnd();
    this.#ending = term.begun
      .then(() => this.#reign.end())
      .catch((error: unknown) => this.#host.log.error({ err: error }, "the reign did not end cleanly"));
    this.#host.log.info({ epoch: term.epoch, reason }, "leading no more");
  }
}
