/**
 * Calls a control plane as the edge does: signed, with a `create_key` that names one create over all its tries, each with
 * a fresh nonce, at whichever replica answers.
 */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { AccountId, CreateKey, RequestId } from "#protocol/id.ts";
import { signCall } from "#protocol/signed-call.ts";

const TRY_MS = 5_000;
const AGAIN_MS = 100;
const NO_BODY = new Uint8Array(0);

export interface Answer {
  readonly status: number;
  readonly retryAfter: string | null;
  readonly body: unknown;
}

export interface Call {
  readonly method: "GET" | "POST";
  /** Behind `/edge/v1`. */
  readonly path: string;
  readonly account: string;
  readonly body?: unknown;
}

export class EdgeCaller {
  readonly #secret: string;
  readonly #replicas: readonly string[];
  /** How far this caller's clock is off. */
  readonly #skewMs: number;

  constructor(secret: string, replicas: readonly string[], skewMs = 0) {
    this.#secret = secret;
    this.#replicas = replicas;
    this.#skewMs = skewMs;
  }

  /** One try at one replica; throws where no answer came. */
  async once(replica: string, call: Call, tryMs = TRY_MS): Promise<Answer> {
    const url = new URL(`/edge/v1${call.path}`, replica);
    const body =
      call.body === undefined ? NO_BODY : new Uint8Array(new TextEncoder().encode(JSON.stringify(call.body)));
    const requestId = RequestId.parse(`req_${randomBytes(16).toString("hex")}`);
    const signed = { method: call.method, url, body, account: AccountId.parse(call.account), requestId };
    const response = await fetch(url, {
      method: call.method,
      headers: {
        ...(await signCall(signed, this.#secret, Date.now() + this.#skewMs)),
        ...(body.length === 0 ? {} : { "content-type": "application/json" }),
      },
      ...(body.length === 0 ? {} : { body }),
      signal: AbortSignal.timeout(tryMs),
    });
    return { status: response.status, retryAfter: response.headers.get("retry-after"), body: await response.json() };
  }

  /** Again and again, the next replica each time, until an answer says what was done; null after `forMs`. */
  async untilAnswered(
    call: Call,
    forMs: number,
    first = 0,
  ): Promise<{ readonly answer: Answer; readonly tries: number } | null> {
    const endMs = performance.now() + forMs;
    for (let tries = 1; performance.now() < endMs; tries++) {
      const replica = this.#replicas[(first + tries - 1) % this.#replicas.length] ?? "";
      const answer = await this.once(replica, call).catch(() => null);
      if (answer !== null && answer.status < 500) return { answer, tries };
      await sleep(AGAIN_MS);
    }
    return null;
  }
}

export function mintCreateKey(): CreateKey {
  return CreateKey.parse(`ck_${randomBytes(16).toString("hex")}`);
}
