/** Webhooks through the whole product: a video's own receiver, a life of an endpoint, and nothing of it for strangers. */
import type OpenAI from "openai";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  WebhookDelivery,
  WebhookDeliveryList,
  WebhookEndpoint,
  WebhookReplay,
  WebhookSecret,
} from "#protocol/webhook.ts";
import { Product, until } from "#tests/support/product.ts";
import { WebhookReceiver } from "#tests/support/webhook-receiver.ts";

let product: Product;
let receiver: WebhookReceiver;
beforeAll(async () => {
  product = await Product.start();
  receiver = await WebhookReceiver.start();
});
afterAll(async () => {
  await receiver.stop();
  await product.stop();
});

const TINY = { prompt: "waves at night", size: "320x192", seconds: "1" } as unknown as OpenAI.VideoCreateParams;

function caller(apiKey: string) {
  return async (method: string, path: string, body?: unknown): Promise<{ status: number; body: unknown }> => {
    const answer = await fetch(`${product.dev.edge_url}/v1${path}`, {
      method,
      headers: {
        authorization: `Bearer ${apiKey}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: answer.status, body: await answer.json() };
  };
}

test("a video that names its receiver is told there of its end, and the SDK verifies it with the account's secret", async () => {
  const { apiKey } = await product.account("pro");
  const client = product.client(apiKey);
  const { secret } = WebhookSecret.parse((await caller(apiKey)("POST", "/webhook_secret/rotate")).body);
  const before = receiver.received.length;
  const { id } = await client.videos.create({
    ...TINY,
    webhook_url: `${receiver.url}/mine`,
  } as OpenAI.VideoCreateParams);
  await receiver.until(before + 1);
  const received = receiver.received[before];
  expect(received?.path).toBe("/mine");
  const headers = received?.headers as Record<string, string>;
  expect(await client.webhooks.unwrap(received?.body ?? "", headers, secret)).toMatchObject({
    type: "video.completed",
    data: { id, status: "completed" },
  });
});

test("an endpoint is made, tested, disabled, enabled, replayed to and rotated; another account sees nothing of it", async () => {
  const { apiKey } = await product.account("pro");
  const call = caller(apiKey);
  const url = `${receiver.url}/endpoint`;
  const mine = () => receiver.received.filter(({ path }) => path === "/endpoint");
  const endpoint = WebhookEndpoint.parse((await call("POST", "/webhook_endpoints", { url })).body);
  const path = `/webhook_endpoints/${endpoint.id}`;

  const tested = WebhookDelivery.parse((await call("POST", `${path}/test`)).body);
  const delivered = await until("the test is delivered", 10_000, async () => {
    const seen = WebhookDelivery.parse((await call("GET", `/webhook_deliveries/${tested.id}`)).body);
    return seen.status === "delivered" && seen;
  });
  expect(delivered).toMatchObject({ tries: 1, last_status: 200, event_type: "webhook_endpoint.test" });

  expect((await call("PATCH", path, { enabled: false })).body).toMatchObject({ disabled_reason: "by_account" });
  const client = product.client(apiKey);
  const { id } = await client.videos.create(TINY);
  await until("completed", 60_000, async () => (await client.videos.retrieve(id)).status === "completed");
  expect((await call("POST", `${path}/replay`, { starting_after: 0 })).status).toBe(409);
  expect((await call("PATCH", path, { enabled: true })).body).toMatchObject({ enabled: true, disabled_reason: null });
  const replay = WebhookReplay.parse((await call("POST", `${path}/replay`, { starting_after: 0 })).body);
  expect(replay).toMatchObject({ replayed: 1, has_more: false });
  await until("the replay came", 10_000, async () => mine().length >= 2);

  const rotated = WebhookEndpoint.parse((await call("POST", `${path}/rotate_secret`)).body);
  expect(rotated.secret).not.toBe(endpoint.secret);
  const listed = WebhookDeliveryList.parse((await call("GET", "/webhook_deliveries?status=delivered")).body);
  const [last] = listed.data;
  await call("POST", `/webhook_deliveries/${last?.id}/redeliver`);
  await until("it came again", 10_000, async () => mine().length >= 3);
  const again = mine()[2];
  for (const secret of [rotated.secret, endpoint.secret]) {
    const headers = again?.headers as Record<string, string>;
    expect(await client.webhooks.unwrap(again?.body ?? "", headers, secret)).toMatchObject({ data: { id } });
  }

  const stranger = caller((await product.account("pro")).apiKey);
  const unknown = await stranger("GET", `/webhook_endpoints/we_${"0".repeat(32)}`);
  const foreign = [
    await stranger("GET", path),
    await stranger("PATCH", path, { enabled: false }),
    await stranger("DELETE", path),
    await stranger("POST", `${path}/rotate_secret`),
    await stranger("POST", `${path}/test`),
    await stranger("POST", `${path}/replay`, { since: 0 }),
  ];
  expect(foreign).toEqual(foreign.map(() => unknown));
  for (const [method, tail] of [
    ["GET", ""],
    ["POST", "/redeliver"],
  ] as const) {
    expect((await stranger(method, `/webhook_deliveries/${last?.id}${tail}`)).status).toBe(404);
  }
  expect((await call("GET", path)).body).toMatchObject({ enabled: true });
});
