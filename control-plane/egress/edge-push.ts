/** Signed pushes to the edge. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Clock } from "#control-plane/core/clock.ts";
import type { Push } from "#protocol/edge-call.ts";
import { PushAnswer } from "#protocol/edge-call.ts";
import type { AccountId, RequestId } from "#protocol/id.ts";
import { signCall } from "#protocol/signed-call.ts";

/** The edge may read a page of events before it answers. */
const TIMEOUT_MS = 10_000;
/** Until the alarms of live sessions have asked for themselves. */
const SOON_MS = 30_000;
const AGAIN_MS = 250;

export class EdgePusher {
  readonly #url: URL;
  readonly #secret: string;
  readonly #mintRequestId: () => RequestId;

  constructor(edgeUrl: string, secret: string, mintRequestId: () => RequestId) {
    this.#url = new URL("/internal/v1/push", edgeUrl);
    this.#secret = secret;
    this.#mintRequestId = mintRequestId;
  }

  /** Pushes until the edge has taken it: a revocation holds within 5 s where the edge can be reached. Throws once it is of no more use. */
  async pushSoon(account: AccountId, push: Push, clock: Clock): Promise<void> {
    const endMs = clock.monotonicMs() + SOON_MS;
    for (;;) {
      try {
        await this.push(account, push, clock.nowMs());
        return;
      } catch (error) {
        if (clock.monotonicMs() + AGAIN_MS > endMs) throw error;
        await sleep(AGAIN_MS, undefined, { ref: false });
      }
    }
  }

  /** False if the account has no live socket. Throws if the edge cannot be reached or refuses. */
  async push(account: AccountId, push: Push, nowMs: number): Promise<boolean> {
    const body = new TextEncoder().encode(JSON.stringify(push));
    const call = { method: "POST", url: this.#url, body, account, requestId: this.#mintRequestId() };
    const response = await fetch(this.#url, {
      method: "POST",
      body,
      headers: { "content-type": "application/json", ...(await signCall(call, this.#secret, nowMs)) },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (!response.ok) throw new Error(`the edge answered a push with ${response.status}`);
    return PushAnswer.parse(await response.json()).live;
  }
}
