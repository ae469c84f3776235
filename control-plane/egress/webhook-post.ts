/** One signed POST of a webhook: no redirects, bounded in time and in what is read of the answer. */
import { request as requestHttp } from "node:http";
import type { RequestOptions } from "node:http";
import { request as requestHttps } from "node:https";
import type { Resolver } from "node:dns/promises";
import { Webhook } from "standardwebhooks";
import type { TryOutcome } from "#control-plane/core/webhook-schedule.ts";
import { signing } from "#control-plane/core/webhook-secret.ts";
import type { Secrets } from "#control-plane/core/webhook-secret.ts";
import { ForbiddenAddressError, publicLookup, urlFault } from "./address-guard.ts";
import type { EgressPolicy } from "./address-guard.ts";

const CONNECT_TIMEOUT_MS = 5_000;
const TIMEOUT_MS = 15_000;
const ANSWER_HEADER_BYTES_MAX = 16 * 1024;
const ERROR_CHARS_MAX = 500;

export interface WebhookMessage {
  readonly id: string;
  readonly url: string;
  readonly secrets: Secrets;
  readonly body: string;
}

export class WebhookPost {
  readonly #policy: EgressPolicy;
  readonly #resolver: Resolver;

  constructor(policy: EgressPolicy, resolver: Resolver) {
    this.#policy = policy;
    this.#resolver = resolver;
  }

  async send(message: WebhookMessage, now: Date, signal: AbortSignal): Promise<TryOutcome> {
    const fault = urlFault(message.url, this.#policy);
    if (fault !== null) return { kind: "forbidden", message: `The URL ${fault}` };
    const connecting = new AbortController();
    const timer = setTimeout(() => connecting.abort(new Error("no connection within 5 s")), CONNECT_TIMEOUT_MS);
    try {
      const signals = [signal, connecting.signal, AbortSignal.timeout(TIMEOUT_MS)];
      return await this.#post(message, now, AbortSignal.any(signals), () => clearTimeout(timer));
    } catch (error) {
      const kind = error instanceof ForbiddenAddressError ? "forbidden" : "unreachable";
      return { kind, message: reasonOf(error).slice(0, ERROR_CHARS_MAX) };
    } finally {
      clearTimeout(timer);
    }
  }

  #post(message: WebhookMessage, now: Date, signal: AbortSignal, connected: () => void): Promise<TryOutcome> {
    const url = new URL(message.url);
    const secure = url.protocol === "https:";
    const options: RequestOptions = {
      method: "POST",
      agent: false,
      signal,
      maxHeaderSize: ANSWER_HEADER_BYTES_MAX,
      ...(this.#policy.addresses === "public" ? { lookup: publicLookup(this.#resolver) } : {}),
      headers: headersOf(message, now),
    };
    return new Promise((resolve, reject) => {
      const outgoing = (secure ? requestHttps : requestHttp)(url, options, (response) => {
        // The body is of no use to us, and a hostile one could be endless.
        response.destroy();
        resolve({
          kind: "answered",
          status: response.statusCode ?? 0,
          retryAfterMs: retryAfterMs(response.headers["retry-after"], now),
        });
      });
      outgoing.on("socket", (socket) => socket.once(secure ? "secureConnect" : "connect", connected));
      outgoing.on("error", reject);
      // An upgrade nobody asked for ends the connection without a response or an error.
      outgoing.on("close", () => reject(new Error("the connection was closed without an answer")));
      outgoing.end(message.body);
    });
  }
}

function headersOf({ id, body, secrets }: WebhookMessage, now: Date): Readonly<Record<string, string | number>> {
  const signatures = signing(secrets, now.getTime()).map((secret) => new Webhook(secret).sign(id, now, body));
  return {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    "user-agent": "callsheet-webhooks/1",
    "webhook-id": id,
    "webhook-timestamp": String(Math.floor(now.getTime() / 1_000)),
    "webhook-signature": signatures.join(" "),
  };
}

/** Seconds or a date; null if it says neither. */
function retryAfterMs(header: string | undefined, now: Date): number | null {
  if (header === undefined) return null;
  if (/^\d{1,9}$/.test(header)) return Number(header) * 1_000;
  const at = Date.parse(header);
  return Number.isNaN(at) ? null : Math.max(0, at - now.getTime());
}

/** An abort says only that it happened; why is in its cause. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message : error.message;
}
