/** The control plane's webhook delivery on a test's database, with real HTTP: events are appended, a courier runs. */
import { appendEvent } from "#control-plane/db/events.ts";
import { inTransaction } from "#control-plane/db/transaction.ts";
import { ANYTHING, newResolver } from "#control-plane/egress/address-guard.ts";
import { WebhookPost } from "#control-plane/egress/webhook-post.ts";
import { Ticker } from "#control-plane/loop/ticker.ts";
import { systemClock } from "#control-plane/system-clock.ts";
import { WebhookCourier } from "#control-plane/usecase/deliver-webhooks.ts";
import { createEndpoint } from "#control-plane/usecase/webhook-endpoints.ts";
import type { EventType } from "#protocol/event.ts";
import type { AccountId } from "#protocol/id.ts";
import type { WebhookEndpoint } from "#protocol/webhook.ts";
import { QUIET } from "./quiet-host.ts";
import type { Studio } from "./studio.ts";

const POLL_MS = 50;

export class MailRoom {
  readonly studio: Studio;
  readonly #faults: unknown[] = [];
  readonly courier: WebhookCourier;
  readonly #ticker: Ticker;
  readonly #ended: (() => void)[] = [];
  #secrets = 0;

  constructor(studio: Studio, pollMs = POLL_MS) {
    this.studio = studio;
    const post = new WebhookPost(ANYTHING, newResolver());
    this.courier = new WebhookCourier(studio.sql, {
      attempt: (delivery, signal) => post.send(delivery, new Date(), signal),
      random: () => 0,
      monotonicMs: () => performance.now(),
      ended: () => {
        this.#ticker.wake();
        for (const tell of this.#ended.splice(0)) tell();
      },
      unrecorded: (_, error) => this.#faults.push(error),
    });
    this.#ticker = new Ticker("webhooks", pollMs, { clock: systemClock, ...QUIET }, () => this.courier.turn());
  }

  start(): void {
    this.#ticker.start();
  }

  /** Throws what went wrong behind the test's back. */
  async stop(): Promise<void> {
    await this.#ticker.stop();
    await this.courier.stop();
    if (this.#faults.length > 0) throw new AggregateError(this.#faults, "tries could not be recorded");
  }

  /** Resolves when `found` answers with something; looks again whenever a try has ended. */
  async until<Found>(found: () => Promise<Found | undefined>): Promise<Found> {
    for (;;) {
      const ended = new Promise<void>((resolve) => this.#ended.push(resolve));
      const seen = await found();
      if (seen !== undefined) return seen;
      await ended;
    }
  }

  async endpoint(
    account: AccountId,
    url: string,
    events: EventType[] = ["credits.low_balance"],
  ): Promise<WebhookEndpoint> {
    const secret = `whsec_${Buffer.from(String(this.#secrets++).padStart(32, "s")).toString("base64")}`;
    const created = await createEndpoint(this.studio.database, account, { url, events }, secret);
    if ("code" in created) throw new Error(created.message);
    return created;
  }

  /** An event that such an endpoint gets. */
  async happens(account: AccountId, times = 1, threshold = "25"): Promise<void> {
    for (let time = 0; time < times; time++) {
      await inTransaction(this.studio.sql, (tx) =>
        appendEvent(tx, { account, type: "credits.low_balance", data: { available: "1", threshold } }),
      );
    }
  }
}
