/** One signed POST of a webhook: no redirects, bounded in time and in what is read of the answer. */
import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { Webhook } from "standardwebhooks";
import type { TryOutcome } from "#control-plane/core/webhook-schedule.ts";
import { checkLiteral, ForbiddenAddressError, publicLookup } from "./address-guard.ts";

const TIMEOUT_MS = 15_000;

export interface WebhookMessage {
  readonly id: string;
  readonly url: string;
  readonly secret: string;
  readonly body: string;
}

/** `privateAddresses`: only for development, where receivers live on loopback. */
export async function postWebhook(
  message: WebhookMessage,
  now: Date,
  privateAddresses: "allow" | "refuse",
): Promise<TryOutcome> {
  try {
    const url = new URL(message.url);
    if (privateAddresses === "refuse") {
      if (url.protocol !== "https:") return { kind: "forbidden", message: "only https is called" };
      checkLiteral(url);
    }
    return await send(url, message, now, privateAddresses === "refuse");
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return { kind: error instanceof ForbiddenAddressError ? "forbidden" : "unreachable", message: text.slice(0, 500) };
  }
}

function send(url: URL, message: WebhookMessage, now: Date, guarded: boolean): Promise<TryOutcome> {
  const request = url.protocol === "https:" ? requestHttps : requestHttp;
  return new Promise((resolve, reject) => {
    const outgoing = request(
      url,
      {
        method: "POST",
        agent: false,
        signal: AbortSignal.timeout(TIMEOUT_MS),
        ...(guarded ? { lookup: publicLookup } : {}),
        headers: {
          "content-type": "application/json",
          "content-length": Buffer.byteLength(message.body),
          "user-agent": "callsheet-webhooks/1",
          "webhook-id": message.id,
          "webhook-timestamp": String(Math.floor(now.getTime() / 1_000)),
          "webhook-signature": new Webhook(message.secret).sign(message.id, now, message.body),
        },
      },
      (response) => {
        // The body is of no use to us, and a hostile one could be endless.
        response.destroy();
        const retryAfterS = Number(response.headers["retry-after"]);
        resolve({
          kind: "answered",
          status: response.statusCode ?? 0,
          retryAfterMs: Number.isFinite(retryAfterS) ? retryAfterS * 1_000 : null,
        });
      },
    );
    outgoing.on("error", reject);
    outgoing.end(message.body);
  });
}
