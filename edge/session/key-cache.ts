/**
 * What the control plane said about an account's keys, for a few seconds.
 *
 * Promises: what a good answer allows is over after 4 s, a bad one 1 s; a revocation drops the key at once, also one whose check is under
 * way; calls for the same key that arrive together share one check. In memory only: losing it costs one check.
 */
import { KeyAnswer } from "#protocol/edge-call.ts";
import type { AccountId, Sha256Hex } from "#protocol/id.ts";
import { askControlPlane } from "../control-plane-call.ts";
import { LEND_MS } from "../core/lend.ts";
import type { Config } from "../env.ts";

/** Calls that were lent on a good answer may be made a moment later. */
const GOOD_KEY_MS = 4_000 - LEND_MS;
const BAD_KEY_MS = 1_000;
const KEYS_MAX = 256;

/** null: unknown or revoked. */
export type KeyVerdict = KeyAnswer | null;

interface Entry {
  readonly verdict: Promise<KeyVerdict>;
  untilMs: number;
}

export class KeyCache {
  readonly #entries = new Map<Sha256Hex, Entry>();
  readonly #config: Config;

  constructor(config: Config) {
    this.#config = config;
  }

  async check(account: AccountId, key: Sha256Hex): Promise<KeyVerdict> {
    const cached = this.#entries.get(key);
    if (cached !== undefined && Date.now() < cached.untilMs) return cached.verdict;
    const askedMs = Date.now();
    // Until it is answered an entry does not lapse; the call itself is bounded.
    const entry: Entry = { verdict: this.#ask(account, key), untilMs: Infinity };
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    this.#dropOldest();
    try {
      const verdict = await entry.verdict;
      // Counted from the question: the answer may have been true only then.
      entry.untilMs = askedMs + (verdict === null ? BAD_KEY_MS : GOOD_KEY_MS);
      return verdict;
    } catch (fault) {
      if (this.#entries.get(key) === entry) this.#entries.delete(key);
      throw fault;
    }
  }

  revoke(key: Sha256Hex): void {
    this.#entries.delete(key);
  }

  async #ask(account: AccountId, key: Sha256Hex): Promise<KeyVerdict> {
    const answer = await askControlPlane(
      { method: "POST", path: "/edge/v1/keys/check", account, body: { key_sha256: key }, repeatable: true },
      this.#config,
    );
    if (answer.status === 404) return null;
    if (!answer.ok) throw new Error(`POST /edge/v1/keys/check answered ${answer.status}`);
    return KeyAnswer.parse(await answer.json());
  }

  #dropOldest(): void {
    const oldest = this.#entries.keys().next();
    if (this.#entries.size > KEYS_MAX && !oldest.done) this.#entries.delete(oldest.value);
  }
}
