/** `webhooks.unwrap` and the reference verifier against what was really delivered. */
import assert from "node:assert/strict";
import OpenAI from "openai";
import { Webhook } from "standardwebhooks";
import { WebhookEndpoint } from "#protocol/webhook.ts";
import { until } from "#tests/support/product.ts";
import { TINY } from "../stage.ts";
import type { Stage } from "../stage.ts";
import type { Case } from "../case.ts";

/** Verifiers tolerate five minutes. */
const TOO_OLD_MS = 6 * 60_000;
const DELIVERED_WITHIN_MS = 30_000;
const OTHER_SECRET = `whsec_${Buffer.alloc(24).toString("base64")}`;

interface Delivered {
  readonly id: string;
  readonly secret: string;
  readonly body: string;
  readonly headers: Record<string, string>;
}

/** A video's end as an endpoint of the account was told of it. */
async function delivered(stage: Stage): Promise<Delivered> {
  const path = `/${stage.account.id}`;
  const client = stage.client();
  const endpoint = WebhookEndpoint.parse(
    await client.post("/webhook_endpoints", { body: { url: `${stage.receiver.url}${path}` } }),
  );
  const { id } = await client.videos.create(TINY);
  const received = await until("the webhook came", DELIVERED_WITHIN_MS, () =>
    Promise.resolve(stage.receiver.received.find((one) => one.path === path) ?? null),
  );
  assert.ok(endpoint.secret !== undefined);
  return { id, secret: endpoint.secret, body: received.body, headers: received.headers as Record<string, string> };
}

/** The same message as it would have been signed then, by the reference implementation. */
function signedAt(message: Delivered, at: Date): Record<string, string> {
  const id = message.headers["webhook-id"] ?? "";
  const signature = new Webhook(message.secret).sign(id, at, message.body);
  const timestamp = String(Math.floor(at.getTime() / 1_000));
  return { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signature };
}

export const WEBHOOK: readonly Case[] = [
  {
    call: "webhooks.unwrap",
    title: "accepts ours; rejects a changed body, another secret and a message that is six minutes old",
    async check(stage) {
      const message = await delivered(stage);
      const { webhooks } = stage.client();
      const { body, headers, secret, id } = message;
      const event = (await webhooks.unwrap(body, headers, secret)) as unknown as { type: string; data: { id: string } };
      assert.deepEqual([event.type, event.data.id], ["video.completed", id]);
      const Invalid = OpenAI.InvalidWebhookSignatureError;
      const changed = body.replace(id, id.replace(/.$/, "z"));
      const old = signedAt(message, new Date(Date.now() - TOO_OLD_MS));
      await assert.rejects(webhooks.unwrap(changed, headers, secret), Invalid);
      await assert.rejects(webhooks.unwrap(body, headers, OTHER_SECRET), Invalid);
      await assert.rejects(webhooks.unwrap(body, old, secret), Invalid);
    },
  },
  {
    call: "standardwebhooks verify",
    title: "the reference verifier accepts ours, and rejects a changed body and an old message",
    async check(stage) {
      const message = await delivered(stage);
      const { body, headers, secret, id } = message;
      const verifier = new Webhook(secret);
      assert.equal((verifier.verify(body, headers) as { data: { id: string } }).data.id, id);
      assert.throws(() => verifier.verify(`${body} `, headers), /No matching signature/);
      const old = signedAt(message, new Date(Date.now() - TOO_OLD_MS));
      assert.throws(() => verifier.verify(body, old), /too old/);
    },
  },
];
