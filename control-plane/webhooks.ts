/** Wires what sends webhooks, and what says which addresses they may have. */
import type { Config } from "./config.ts";
import type { Sql } from "./db/connect.ts";
import { ANYTHING, newResolver, PUBLIC_ONLY, urlFault, urlFaultAsResolved } from "./egress/address-guard.ts";
import type { EgressPolicy } from "./egress/address-guard.ts";
import { WebhookPost } from "./egress/webhook-post.ts";
import type { WebhookGuard } from "./http/webhooks.ts";
import { Ticker } from "./loop/ticker.ts";
import type { LoopHost, Service } from "./loop/ticker.ts";
import { WebhookCourier } from "./usecase/deliver-webhooks.ts";

const WEBHOOK_POLL_MS = 200;

export function webhookLoop(settings: Config, host: LoopHost, sql: Sql): Service {
  const post = new WebhookPost(egressOf(settings), newResolver());
  const courier: WebhookCourier = new WebhookCourier(sql, {
    attempt: async (delivery, signal) => {
      const outcome = await post.send(delivery, new Date(host.clock.nowMs()), signal);
      const seen = outcome.kind === "answered" ? `${Math.floor(outcome.status / 100)}xx` : outcome.kind;
      host.meter.count("webhook_tries_total", seen);
      return outcome;
    },
    random: Math.random,
    monotonicMs: () => host.clock.monotonicMs(),
    ended: () => ticker.wake(),
    unrecorded: (delivery, error) =>
      host.log.warn({ delivery: delivery.id, err: error }, "a webhook's try was not recorded; it will be made again"),
  });
  const ticker: Ticker = new Ticker("webhooks", WEBHOOK_POLL_MS, host, () => courier.turn());
  return {
    start: () => ticker.start(),
    stop: async () => {
      await ticker.stop();
      await courier.stop();
    },
  };
}

/** In development receivers live on loopback. */
function egressOf(settings: Config): EgressPolicy {
  if (settings.CALLSHEET_WEBHOOK_PRIVATE === "refuse") return PUBLIC_ONLY;
  return settings.CALLSHEET_ENV === "development" ? ANYTHING : { ...ANYTHING, ports: PUBLIC_ONLY.ports };
}

export function webhookGuard(settings: Config): WebhookGuard {
  const policy = egressOf(settings);
  const resolver = newResolver();
  return {
    fault: (url) => urlFault(url, policy),
    faultAsResolved: (url) => urlFaultAsResolved(url, policy, resolver),
  };
}
