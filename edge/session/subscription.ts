/**
 * The account's subscription at the control plane: live while a socket is open or opening, renewed by alarm.
 *
 * Callers that come while a renewal is under way share the next one: each gets an answer to a question that was asked after
 * it came, and twenty sockets that reconnect together cost two calls. `PUT` calls may overtake each other, so whoever ended the subscription looks again afterwards and takes it back if a
 * socket came meanwhile: the last call that lands always says what is true.
 */
import { SUBSCRIPTION_LEASE_MS, SubscriptionAnswer } from "#protocol/edge-call.ts";
import type { AccountId } from "#protocol/id.ts";
import { askControlPlane } from "../control-plane-call.ts";
import type { Config } from "../env.ts";

const RENEW_MS = SUBSCRIPTION_LEASE_MS / 2;
/** Longer than a renewal is apart from the next, shorter than the lease. */
const HELD_MS = (SUBSCRIPTION_LEASE_MS * 3) / 4;
const RENEW_AGAIN_MS = 5_000;

export class Subscription {
  readonly #config: Config;
  readonly #storage: DurableObjectStorage;
  #renewing: Promise<number> | null = null;
  #next: Promise<number> | null = null;
  /** When the call was made that the control plane holds the subscription by. */
  #askedAtMs = -Infinity;

  constructor(config: Config, storage: DurableObjectStorage) {
    this.#config = config;
    this.#storage = storage;
  }

  /** The control plane pushes, as far as this object knows: since its last renewal nothing ended the subscription. */
  get isHeld(): boolean {
    return Date.now() - this.#askedAtMs < HELD_MS;
  }

  /** The control plane was told, or is about to be, that nobody listens. */
  lapse(): void {
    this.#askedAtMs = -Infinity;
  }

  /** Starts or renews; answers the log's last number, read after the subscription took effect. */
  renew(account: AccountId): Promise<number> {
    if (this.#renewing === null) return this.#begin(account);
    this.#next ??= this.#renewing.then(
      () => this.#begin(account),
      () => this.#begin(account),
    );
    return this.#next;
  }

  /** Something failed: the alarm rings soon, well before the lease lapses. */
  again(): Promise<void> {
    return this.#storage.setAlarm(Date.now() + RENEW_AGAIN_MS);
  }

  /** Ends it, unless `wanted` says after the call that it is needed again. */
  async end(account: AccountId, wanted: () => boolean): Promise<void> {
    this.lapse();
    await this.#put(account, false);
    if (wanted()) await this.renew(account);
    else await this.#storage.deleteAlarm();
  }

  #begin(account: AccountId): Promise<number> {
    this.#next = null;
    const renewing = this.#renew(account).finally(() => {
      if (this.#renewing === renewing) this.#renewing = null;
    });
    this.#renewing = renewing;
    return renewing;
  }

  async #renew(account: AccountId): Promise<number> {
    await this.again();
    const askedAtMs = Date.now();
    const last = await this.#put(account, true);
    this.#askedAtMs = askedAtMs;
    await this.#storage.setAlarm(Date.now() + RENEW_MS);
    return last;
  }

  async #put(account: AccountId, live: boolean): Promise<number> {
    const call = { method: "PUT", path: "/edge/v1/subscription", account, body: { live }, repeatable: true } as const;
    const answer = await askControlPlane(call, this.#config);
    if (!answer.ok) throw new Error(`PUT /edge/v1/subscription answered ${answer.status}`);
    return SubscriptionAnswer.parse(await answer.json()).last_sequence_number;
  }
}
