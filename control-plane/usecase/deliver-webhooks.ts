/**
 * Webhook deliveries of one replica: claims what is due, fairly over accounts and endpoints, and sends each on its own, so that
 * nobody waits for somebody else's receiver.
 *
 * Under way are at most `IN_FLIGHT_MAX` tries, of which endpoints that have not proven themselves hold at most half: receivers
 * that never answer, however many, leave room for those that do.
 */
import { afterFailure } from "#control-plane/core/webhook-breaker.ts";
import type { AfterFailure } from "#control-plane/core/webhook-breaker.ts";
import { nextStep } from "#control-plane/core/webhook-schedule.ts";
import type { NextStep, TryOutcome } from "#control-plane/core/webhook-schedule.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import { appendEvent, lockCounter } from "#control-plane/db/events.ts";
import { inOneStatement, inTransaction } from "#control-plane/db/transaction.ts";
import {
  claimDeliveries,
  disableEndpoint,
  lockDueEndpoints,
  lockEndpointState,
  markDelivered,
  markFailedTry,
  releaseDelivery,
  saveFailure,
} from "#control-plane/db/webhook-deliveries.ts";
import type { Claimed, TryRecord } from "#control-plane/db/webhook-deliveries.ts";
import type { AccountId } from "#protocol/id.ts";
import { WebhookEndpointId } from "#protocol/id.ts";

export const IN_FLIGHT_MAX = 512;
export const UNPROVEN_IN_FLIGHT_MAX = 256;
export const IN_FLIGHT_PER_ENDPOINT_MAX = 4;
export const IN_FLIGHT_PER_ACCOUNT_MAX = 64;
const ENDPOINTS_PER_CLAIM_MAX = 64;
const ENDPOINTS_PER_ACCOUNT_AND_CLAIM_MAX = 8;
const PER_ACCOUNT_AND_CLAIM_MAX = ENDPOINTS_PER_ACCOUNT_AND_CLAIM_MAX * IN_FLIGHT_PER_ENDPOINT_MAX;
const CANDIDATES_MAX = 512;
const CLAIMS_PER_TURN_MAX = 16;
/** Longer than one try can take. */
const CLAIM_MS = 60_000;
/** What is under way when the process stops may end by itself for so long. */
const STOP_GRACE_MS = 2_000;

/** One try; it must end soon after `signal` aborts. */
export type Attempt = (delivery: Claimed, signal: AbortSignal) => Promise<TryOutcome>;

export interface CourierHost {
  readonly attempt: Attempt;
  readonly random: () => number;
  readonly monotonicMs: () => number;
  /** A try has ended, so there may be more to claim. */
  readonly ended: () => void;
  /** What came of a try could not be recorded: it will be made again when its claim ends. */
  readonly unrecorded: (delivery: Claimed, error: unknown) => void;
}

export class WebhookCourier {
  readonly #sql: Sql;
  readonly #host: CourierHost;
  readonly #underWay = new Map<Promise<void>, Claimed>();
  readonly #breakOff = new AbortController();
  #stopped = false;

  constructor(sql: Sql, host: CourierHost) {
    this.#sql = sql;
    this.#host = host;
  }

  get underWay(): number {
    return this.#underWay.size;
  }

  /** Claims what there is room for and sets it off; waits for no receiver. */
  async turn(): Promise<void> {
    for (let claims = 0; claims < CLAIMS_PER_TURN_MAX && !this.#stopped; claims++) {
      const endpointsMax = Math.min(
        ENDPOINTS_PER_CLAIM_MAX,
        Math.floor((IN_FLIGHT_MAX - this.#underWay.size) / IN_FLIGHT_PER_ENDPOINT_MAX),
      );
      if (endpointsMax === 0) return;
      const { endpoints, claimed } = await this.#claim(endpointsMax);
      for (const delivery of claimed) this.#setOff(delivery);
      if (endpoints === 0) return;
    }
  }

  /** Tries under way get a moment to end; then they are broken off and left to another replica, or the next start. */
  async stop(): Promise<void> {
    this.#stopped = true;
    const timer = setTimeout(() => this.#breakOff.abort(), STOP_GRACE_MS);
    await Promise.all(this.#underWay.keys());
    clearTimeout(timer);
  }

  #claim(endpointsMax: number): Promise<{ readonly endpoints: number; readonly claimed: readonly Claimed[] }> {
    const limits = {
      endpointsMax,
      endpointsPerAccountMax: ENDPOINTS_PER_ACCOUNT_AND_CLAIM_MAX,
      candidatesMax: CANDIDATES_MAX,
      perEndpointMax: IN_FLIGHT_PER_ENDPOINT_MAX,
      leaseMs: CLAIM_MS,
      ...this.#load(endpointsMax),
    };
    return inTransaction(this.#sql, async (tx) => {
      const endpoints = await lockDueEndpoints(tx, limits);
      const claimed = endpoints.length === 0 ? [] : await claimDeliveries(tx, endpoints, limits);
      return { endpoints: endpoints.length, claimed };
    });
  }

  #load(endpointsMax: number): { readonly fullAccounts: readonly AccountId[]; readonly unproven: boolean } {
    const perAccount = new Map<AccountId, number>();
    let unproven = 0;
    for (const delivery of this.#underWay.values()) {
      perAccount.set(delivery.accountId, (perAccount.get(delivery.accountId) ?? 0) + 1);
      if (delivery.unproven) unproven++;
    }
    return {
      fullAccounts: [...perAccount].flatMap(([account, count]) =>
        count > IN_FLIGHT_PER_ACCOUNT_MAX - PER_ACCOUNT_AND_CLAIM_MAX ? [account] : [],
      ),
      // An unproven endpoint has one try at a time.
      unproven: unproven + endpointsMax <= UNPROVEN_IN_FLIGHT_MAX,
    };
  }

  #setOff(delivery: Claimed): void {
    const sent = this.#send(delivery)
      .catch((error: unknown) => this.#host.unrecorded(delivery, error))
      .finally(() => {
        this.#underWay.delete(sent);
        this.#host.ended();
      });
    this.#underWay.set(sent, delivery);
  }

  async #send(delivery: Claimed): Promise<void> {
    const startedMs = this.#host.monotonicMs();
    const outcome = await this.#host.attempt(delivery, this.#breakOff.signal);
    const ms = Math.round(this.#host.monotonicMs() - startedMs);
    if (outcome.kind !== "answered" && this.#breakOff.signal.aborted) {
      return inOneStatement(() => releaseDelivery(this.#sql, delivery));
    }
    await recordTry(this.#sql, delivery, outcome, ms, this.#host.random());
  }
}

export async function recordTry(
  sql: Sql,
  delivery: Claimed,
  outcome: TryOutcome,
  ms: number,
  random: number,
): Promise<void> {
  const record: TryRecord = {
    status: outcome.kind === "answered" ? outcome.status : null,
    error: outcome.kind === "answered" ? null : outcome.message,
    ms,
  };
  const next = nextStep(outcome, delivery.tries, random);
  if (next.kind === "delivered") return inOneStatement(() => markDelivered(sql, delivery, record));
  const after = await recordFailure(sql, delivery, { outcome, record, next });
  if (after?.kind === "disabled") await disable(sql, delivery, after.reason);
}

interface Failure {
  readonly outcome: TryOutcome;
  readonly record: TryRecord;
  readonly next: Exclude<NextStep, { kind: "delivered" }>;
}

/** Null if the endpoint is gone or was disabled meanwhile. */
function recordFailure(sql: Sql, delivery: Claimed, { outcome, record, next }: Failure): Promise<AfterFailure | null> {
  return inTransaction(sql, async (tx) => {
    const before = await lockEndpointState(tx, delivery.endpointId);
    const delayMs = before !== null && next.kind === "retry" ? next.delayMs : null;
    await markFailedTry(tx, delivery, record, delayMs);
    if (before === null) return null;
    const after = afterFailure(before, outcome, before.nowMs);
    if (after.kind !== "disabled") await saveFailure(tx, delivery.endpointId, after);
    return after;
  });
}

async function disable(
  sql: Sql,
  { accountId: account, endpointId }: Claimed,
  reason: "receiver_gone" | "kept_failing",
): Promise<void> {
  await inTransaction(sql, async (tx) => {
    await lockCounter(tx, account);
    const disabled = await disableEndpoint(tx, endpointId, reason);
    if (disabled === null) return;
    const data = { webhook_endpoint_id: WebhookEndpointId.parse(endpointId), url: disabled.url, reason };
    await appendEvent(tx, { account, type: "webhook_endpoint.disabled", data });
  });
}
