/**
 * Asks the leader why jobs wait. Whoever reads a video must not wait for it: a leader that does not answer in time, or
 * at all, leaves the question open, and is left alone for a moment.
 */
import type { Explanation } from "#control-plane/core/job-view.ts";
import type { AccountId, RequestId, VideoId } from "#protocol/id.ts";
import { ExplainAnswer } from "#protocol/peer-call.ts";
import { signCall } from "#protocol/signed-call.ts";

const TIMEOUT_MS = 100;
const REST_MS = 1_000;

export interface LeaderCallHost {
  readonly secret: string;
  readonly now: () => number;
  readonly mintRequestId: () => RequestId;
  /** Null if nobody leads, or it is not known who. */
  readonly leaderUrl: () => string | null;
}

export class LeaderCall {
  readonly #host: LeaderCallHost;
  #restsUntilMs = 0;

  constructor(host: LeaderCallHost) {
    this.#host = host;
  }

  /** What the leader knows of these jobs of the account; nothing if it cannot be asked. */
  async explain(account: AccountId, ids: readonly VideoId[]): Promise<ReadonlyMap<VideoId, Explanation>> {
    const leader = this.#host.leaderUrl();
    if (leader === null || ids.length === 0 || this.#host.now() < this.#restsUntilMs) return new Map();
    try {
      const { explained } = await this.#ask(new URL("/peer/v1/explain", leader), account, ids);
      return new Map(
        explained.map(({ id, position, eta, blocked_by: blockedBy }) => [id, { position, eta, blockedBy }]),
      );
    } catch {
      // Too slow, gone or replaced: the answer is a courtesy, and the next leader is known within seconds.
      this.#restsUntilMs = this.#host.now() + REST_MS;
      return new Map();
    }
  }

  async #ask(url: URL, account: AccountId, ids: readonly VideoId[]): Promise<ExplainAnswer> {
    const body = new TextEncoder().encode(JSON.stringify({ ids }));
    const call = { method: "POST", url, body, account, requestId: this.#host.mintRequestId() };
    const signature = await signCall(call, this.#host.secret, this.#host.now());
    const response = await fetch(url, {
      method: "POST",
      body,
      headers: { "content-type": "application/json", ...signature },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (!response.ok) throw new Error(`the leader answered with ${response.status}`);
    return ExplainAnswer.parse(await response.json());
  }
}
