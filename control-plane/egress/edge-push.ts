/** Signed pushes to the edge. */
import type { Push } from "#protocol/edge-call.ts";
import { PushAnswer } from "#protocol/edge-call.ts";
import type { AccountId, RequestId } from "#protocol/id.ts";
import { signCall } from "#protocol/signed-call.ts";

/** The edge may read a page of events before it answers. */
const TIMEOUT_MS = 10_000;

export class EdgePusher {
  readonly #url: URL;
  readonly #secret: string;
  readonly #mintRequestId: () => RequestId;

  constructor(edgeUrl: string, secret: string, mintRequestId: () => RequestId) {
    this.#url = new URL("/internal/v1/push", edgeUrl);
    this.#secret = secret;
    this.#mintRequestId = mintRequestId;
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
