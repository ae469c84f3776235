/** What goes in and what comes out is what the schemas say, to the field. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { CreditBalance, CreditGrantList, CreditTransactionList, VideoEstimate } from "#protocol/credits.ts";
import { ErrorEnvelope } from "#protocol/error.ts";
import { Video, VideoDeleted, VideoList } from "#protocol/video.ts";
import {
  WebhookDelivery,
  WebhookDeliveryList,
  WebhookEndpoint,
  WebhookEndpointDeleted,
  WebhookEndpointList,
  WebhookReplay,
  WebhookSecret,
} from "#protocol/webhook.ts";
import { until } from "#tests/support/product.ts";
import type { Product } from "#tests/support/product.ts";
import { WebhookReceiver } from "#tests/support/webhook-receiver.ts";
import { callerOf, joinStack, json } from "../stack.ts";
import type { Call } from "../stack.ts";

let product: Product;
let receiver: WebhookReceiver;
let call: Call;
beforeAll(async () => {
  product = joinStack();
  receiver = await WebhookReceiver.start();
  call = callerOf(product, (await product.account("pro")).apiKey);
});
afterAll(async () => {
  await receiver.stop();
  await product.stop();
});

/** The same value again, only if the schema names every field of it. */
function expectExactly(schema: z.ZodType, value: unknown, what: string): void {
  const read = schema.safeParse(value);
  expect(read.success, `${what}: ${read.success ? "" : z.prettifyError(read.error)}`).toBe(true);
  // Our answers' schemas drop what they do not know: whatever is lost was an extra.
  expect(read.data, what).toEqual(value);
}

test("every answer has the documented fields and not one more", async () => {
  const film = { prompt: "a film", size: "320x192", seconds: 1, steps: 1, metadata: { a: "b" } };
  const made = json(await call("POST", "/v1/videos", film));
  expectExactly(Video, made, "create");
  const id = String(made["id"]);
  await until("it is done", 60_000, async () => json(await call("GET", `/v1/videos/${id}`))["status"] === "completed");
  const endpoint = json(await call("POST", "/v1/webhook_endpoints", { url: receiver.url }));
  expectExactly(WebhookEndpoint, endpoint, "endpoint");
  const one = `/v1/webhook_endpoints/${String(endpoint["id"])}`;
  const tested = json(await call("POST", `${one}/test`));
  const delivery = `/v1/webhook_deliveries/${String(tested["id"])}`;
  const answers: readonly (readonly [z.ZodType, string, string, unknown?])[] = [
    [Video, "GET", `/v1/videos/${id}`],
    [VideoList, "GET", "/v1/videos"],
    [VideoEstimate, "POST", "/v1/videos/estimate", film],
    [Video, "POST", `/v1/videos/${id}/cancel`],
    [CreditBalance, "GET", "/v1/credits/balance"],
    [CreditGrantList, "GET", "/v1/credits/grants"],
    [CreditTransactionList, "GET", "/v1/credits/transactions"],
    [WebhookEndpointList, "GET", "/v1/webhook_endpoints"],
    [WebhookEndpoint, "GET", one],
    [WebhookEndpoint, "PATCH", one, { enabled: true }],
    [WebhookEndpoint, "POST", `${one}/rotate_secret`],
    [WebhookReplay, "POST", `${one}/replay`, { starting_after: 0 }],
    [WebhookSecret, "POST", "/v1/webhook_secret/rotate"],
    [WebhookDeliveryList, "GET", "/v1/webhook_deliveries"],
    [WebhookDelivery, "GET", delivery],
    [WebhookDelivery, "POST", `${delivery}/redeliver`],
    [WebhookEndpointDeleted, "DELETE", one],
    [VideoDeleted, "DELETE", `/v1/videos/${id}`],
  ];
  const secrets: string[] = [];
  for (const [schema, method, path, body] of answers) {
    const answer = await call(method, path, body);
    expect(answer.status, `${method} ${path}: ${answer.text}`).toBe(200);
    expectExactly(schema, json(answer), `${method} ${path}`);
    if (answer.text.includes("whsec_")) secrets.push(`${method} ${path}`);
  }
  // A secret is told by what makes it, and by nothing that reads.
  expect(secrets).toEqual([`POST ${one}/rotate_secret`, "POST /v1/webhook_secret/rotate"]);
});

const FILM = { prompt: "x", size: "320x192", seconds: 1 };
const WRITES: readonly (readonly [string, string, object])[] = [
  ["POST", "/v1/videos", FILM],
  ["POST", "/v1/videos/estimate", FILM],
  ["POST", "/v1/webhook_endpoints", { url: "http://127.0.0.1:9/" }],
  ["POST", "/v1/webhook_secret/rotate", { overlap_seconds: 1 }],
];

test.each(WRITES)("%s %s refuses a field that it does not know, by its name", async (method, path, body) => {
  for (const name of ["price", "account_id", "tier", "constructor", "prototype", "toString", "a.b", "__proto__"]) {
    const text = `${JSON.stringify(body).slice(0, -1)},${JSON.stringify(name)}:{"admin":true}}`;
    const answer = await call(method, path, text);
    expect([answer.status, ErrorEnvelope.parse(json(answer)).error.param], `${name}: ${answer.text}`).toEqual([
      400,
      name,
    ]);
  }
});

test("a key that would reach a prototype is refused wherever it stands, and reaches none", async () => {
  for (const text of [
    '{"prompt":"x","metadata":{"__proto__":"x"}}',
    '{"prompt":"x","metadata":{"__proto__":{"polluted":"yes"}}}',
    '{"prompt":"x","input_reference":{"__proto__":{"data":"AAAA"}}}',
    '[{"__proto__":{"prompt":"x"}}]',
  ]) {
    expect((await call("POST", "/v1/videos", text)).status, text).toBe(400);
  }
  const form = new FormData();
  form.set("prompt", "x");
  form.set("metadata[__proto__]", "x");
  const { apiKey } = await product.account("pro");
  const answer = await fetch(`${product.dev.edge_url}/v1/videos`, {
    method: "POST",
    headers: { authorization: `Bearer ${apiKey}` },
    body: form,
  });
  expect(answer.status).toBe(400);
});

test("of a key given twice the last value counts, for the checks and for what is made", async () => {
  const made = await call(
    "POST",
    "/v1/videos",
    '{"prompt":"first","size":"320x192","seconds":1,"prompt":"second","seconds":600,"seconds":1}',
  );
  expect(json(made)).toMatchObject({ prompt: "second", seconds: "1" });
  expect((await call("POST", "/v1/videos", '{"prompt":"x","size":"320x192","seconds":1,"seconds":601}')).status).toBe(
    400,
  );
});

test.each(["prompt", "negative_prompt", "model"])(
  "a NUL or half a character in %s is refused by its name",
  async (name) => {
    for (const text of ["a\\u0000b", "\\ud800", "a\\udfffb"]) {
      const answer = await call(
        "POST",
        "/v1/videos",
        `{"prompt":"x","size":"320x192","seconds":1,"${name}":"${text}"}`,
      );
      expect([answer.status, ErrorEnvelope.parse(json(answer)).error.param]).toEqual([400, name]);
    }
  },
);

test("the same in a key or a value of metadata, and in a webhook's address", async () => {
  for (const metadata of ['{"a":"\\u0000"}', '{"a\\u0000":"b"}', '{"a":"\\ud800"}', '{"\\udc00":"b"}']) {
    expect((await call("POST", "/v1/videos", `{"prompt":"x","metadata":${metadata}}`)).status, metadata).toBe(400);
  }
  for (const url of ["http://127.0.0.1:9/\\u0000", "http://127.0.0.1:9/\\ud800"]) {
    expect((await call("POST", "/v1/webhook_endpoints", `{"url":"${url}"}`)).status, url).toBe(400);
  }
});

test("a picture is never fetched: an address in its place is refused, and nobody connects", async () => {
  for (const url of [
    receiver.url,
    "https://example.com/a.png",
    "HTTP://127.0.0.1/a.png",
    "ftp://x/a.png",
    "file:///etc/passwd",
    "//x/a.png",
    "blob:x",
  ]) {
    const before = receiver.received.length;
    expect((await call("POST", "/v1/videos", { ...FILM, input_reference: { image_url: url } })).status, url).toBe(400);
    expect((await call("POST", "/v1/videos", { ...FILM, input_reference: url })).status, url).toBe(400);
    expect(receiver.received).toHaveLength(before);
  }
});
