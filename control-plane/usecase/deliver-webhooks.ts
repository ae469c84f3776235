/** Webhook deliveries: claim what is due, try each once, record what follows. */
import { nextStep } from "#control-plane/core/webhook-schedule.ts";
import type { TryOutcome } from "#control-plane/core/webhook-schedule.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import {
  claimDeliveries,
  disableEndpoint,
  markDelivered,
  markFailedTry,
} from "#control-plane/db/webhook-deliveries.ts";
import type { Delivery } from "#control-plane/db/webhook-deliveries.ts";

export const DELIVERIES_AT_ONCE_MAX = 16;
/** Longer than one try can take. */
const CLAIM_MS = 60_000;

export type Attempt = (delivery: Delivery) => Promise<TryOutcome>;

/** Answers how many were due, so that the caller knows whether to look again at once. */
export async function deliverDue(sql: Sql, attempt: Attempt, random: () => number): Promise<number> {
  const due = await claimDeliveries(sql, DELIVERIES_AT_ONCE_MAX, CLAIM_MS);
  await Promise.all(due.map(async (delivery) => record(sql, delivery, await attempt(delivery), random())));
  return due.length;
}

async function record(sql: Sql, delivery: Delivery, outcome: TryOutcome, random: number): Promise<void> {
  const record = {
    status: outcome.kind === "answered" ? outcome.status : null,
    error: outcome.kind === "answered" ? null : outcome.message,
  };
  const next = nextStep(outcome, delivery.tries, random);
  switch (next.kind) {
    case "delivered":
      return markDelivered(sql, delivery.id, record);
    case "retry":
      return markFailedTry(sql, delivery.id, record, next.delayMs);
    case "give_up":
      return markFailedTry(sql, delivery.id, record, null);
    case "disable_endpoint":
      await markFailedTry(sql, delivery.id, record, null);
      return disableEndpoint(sql, delivery.endpointId);
    default:
      return next satisfies never;
  }
}
