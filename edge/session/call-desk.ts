/**
 * May this call be made, and is this create the same as one before? Everything here is decided in one turn of the account's
 * object, so parallel calls over any number of keys share one rate, and two tries of one create never both go on.
 *
 * A create asks twice: by its headers (`admitCreate`), before anybody reads its body, and with its fingerprint
 * (`openCreate`); its outcome is told afterwards (`settleCreate`).
 */
import type { Refusal } from "#protocol/error.ts";
import type { AccountId, CreateKey, Sha256Hex } from "#protocol/id.ts";
import { ControlPlaneUnreachable } from "../control-plane-call.ts";
import { KEYED, type Outcome, settle, step } from "../core/create-slots.ts";
import { type RateReport, rateRefusal } from "../core/rate-headers.ts";
import type { Config } from "../env.ts";
import type { ReadAsked } from "../lent-calls.ts";
import { logFault } from "../log.ts";
import { mintCreateKey } from "../random-id.ts";
import { IN_FLIGHT, UNREACHABLE } from "../refusals.ts";
import { Admission } from "./admission.ts";
import { KeyCache, type KeyVerdict } from "./key-cache.ts";
import { SlotStore } from "./slot-store.ts";

/** Creates known to be under way; one whose end is never told must not be kept for ever. */
const IN_FLIGHT_MAX = 2_000;

/** Without `rates`: nobody knows whose they are. */
interface Refused {
  readonly refusal: Refusal;
  readonly rates: RateReport | null;
}

/** `calls`: so many, the one that asked included. */
export type Admitted = Refused | { readonly refusal: null; readonly rates: RateReport; readonly calls: number };

/** `isExhausted`: a create would be refused now; only a small body is worth reading. */
export type AdmittedCreate =
  | Refused
  | { readonly refusal: null; readonly rates: RateReport; readonly isExhausted: boolean };

/** How the tries of a create are known to be the same one. */
export type CreateGuard =
  | { readonly kind: "none" }
  | { readonly kind: "key"; readonly keySha256: Sha256Hex }
  | { readonly kind: "count"; readonly fingerprint: Sha256Hex; readonly retries: number };

export type OpenedCreate =
  | Refused
  | {
      readonly refusal: null;
      readonly rates: RateReport;
      readonly createKey: CreateKey;
      /** Its video was made by a try before. */
      readonly isReplay: boolean;
      /** Its outcome is to be told. */
      readonly isOpen: boolean;
    };

const BAD_KEY: Refusal = { code: "invalid_api_key", message: "Incorrect API key provided." };

export class CallDesk {
  readonly #keys: KeyCache;
  readonly #admission: Admission;
  readonly #slots: SlotStore;
  readonly #inFlight = new Set<CreateKey>();

  constructor(config: Config, storage: DurableObjectStorage) {
    this.#keys = new KeyCache(config);
    this.#admission = new Admission(storage.kv);
    this.#slots = new SlotStore(storage.sql);
  }

  async admit(account: AccountId, key: Sha256Hex, asked: ReadAsked): Promise<Admitted> {
    const verdict = await this.#check(account, key);
    if ("refusal" in verdict) return verdict;
    const { rates, calls } = this.#admission.chargeReads(verdict.limits, asked, Date.now());
    const refusal = rateRefusal(rates);
    return refusal === null ? { refusal, rates, calls } : { refusal, rates };
  }

  async admitCreate(account: AccountId, key: Sha256Hex): Promise<AdmittedCreate> {
    const verdict = await this.#check(account, key);
    if ("refusal" in verdict) return verdict;
    const rates = this.#admission.chargeTry(verdict.limits, Date.now());
    const refusal = rateRefusal(rates);
    return refusal === null ? { refusal, rates, isExhausted: rates.create.remaining === 0 } : { refusal, rates };
  }

  async openCreate(account: AccountId, key: Sha256Hex, guard: CreateGuard): Promise<OpenedCreate> {
    const verdict = await this.#check(account, key);
    if ("refusal" in verdict) return verdict;
    const nowMs = Date.now();
    const charge = () => this.#admission.chargeCreate(verdict.limits, nowMs);
    // From here on nothing is awaited.
    if (guard.kind === "none") return opened(charge(), mintCreateKey(), { isReplay: false, isOpen: false });
    const scope = guard.kind === "key" ? `key:${guard.keySha256}` : `${key}:${guard.fingerprint}`;
    const retries = guard.kind === "key" ? KEYED : guard.retries;
    const tried = { retries, nowMs, freshKey: mintCreateKey(), inFlight: this.#inFlight };
    const decision = step(this.#slots.of(scope, nowMs), tried);
    switch (decision.kind) {
      case "conflict":
        return { refusal: IN_FLIGHT, rates: this.#admission.look(verdict.limits, nowMs) };
      case "replay":
        this.#slots.put(scope, decision.slot);
        return {
          refusal: null,
          rates: this.#admission.look(verdict.limits, nowMs),
          createKey: decision.slot.createKey,
          isReplay: true,
          isOpen: false,
        };
      case "open":
      case "take": {
        const { slot } = decision;
        const answer = opened(charge(), slot.createKey, { isReplay: false, isOpen: true });
        if (answer.refusal === null) {
          this.#slots.put(scope, slot);
          this.#begin(slot.createKey);
        } else if (guard.kind === "count") {
          // Its retry finds that it was refused, and does not take a video like it for its own.
          const refused = settle(slot, "again", nowMs);
          if (refused !== null) this.#slots.put(scope, refused);
        }
        return answer;
      }
      default:
        return decision satisfies never;
    }
  }

  settleCreate(createKey: CreateKey, guard: CreateGuard["kind"], outcome: Outcome): void {
    this.#inFlight.delete(createKey);
    const slot = this.#slots.find(createKey);
    if (slot === null) return;
    // What a key stands for is in PostgreSQL, in the row that its create wrote.
    const kept = guard === "key" ? null : settle(slot, outcome, Date.now());
    if (kept === null) this.#slots.remove(createKey);
    else this.#slots.change(kept);
  }

  /** False if there are too many frames. */
  chargeFrame(nowMs: number): boolean {
    return this.#admission.chargeFrame(nowMs);
  }

  /** Whether the key still opens anything; a fault says that nobody knows. */
  async isGood(account: AccountId, key: Sha256Hex): Promise<boolean> {
    return (await this.#keys.check(account, key)) !== null;
  }

  revoke(key: Sha256Hex): void {
    this.#keys.revoke(key);
  }

  #begin(createKey: CreateKey): void {
    this.#inFlight.delete(createKey);
    this.#inFlight.add(createKey);
    const [oldest] = this.#inFlight;
    if (this.#inFlight.size > IN_FLIGHT_MAX && oldest !== undefined) this.#inFlight.delete(oldest);
  }

  async #check(
    account: AccountId,
    key: Sha256Hex,
  ): Promise<NonNullable<KeyVerdict> | { readonly refusal: Refusal; readonly rates: null }> {
    try {
      return (await this.#keys.check(account, key)) ?? { refusal: BAD_KEY, rates: null };
    } catch (fault) {
      if (!(fault instanceof ControlPlaneUnreachable)) throw fault;
      logFault("A key could not be checked", fault, { account });
      return { refusal: UNREACHABLE, rates: null };
    }
  }
}

function opened(
  rates: RateReport,
  createKey: CreateKey,
  how: { readonly isReplay: boolean; readonly isOpen: boolean },
): OpenedCreate {
  const refusal = rateRefusal(rates);
  return refusal === null ? { refusal, rates, createKey, ...how } : { refusal, rates };
}
