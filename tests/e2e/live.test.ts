import { createServer } from "node:http";
import type { IncomingHttpHeaders } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import type OpenAI from "openai";
import { Webhook } from "standardwebhooks";
import { afterAll, beforeAll, expect, test } from "vitest";
import { WebhookEndpoint } from "#protocol/webhook.ts";
import { LiveSession } from "#tests/support/live-session.ts";
import { Product, until } from "#tests/support/product.ts";

let product: Product;
beforeAll(async () => {
  product = await Product.start();
});
afterAll(() => product.stop());

const create = (client: OpenAI, more: object = {}) =>
  client.videos.create({
    prompt: "waves at night",
    size: "320x192",
    seconds: "1",
    ...more,
  } as unknown as OpenAI.VideoCreateParams);

test("a WebSocket client sees queued, in_progress, rising progress to 100, completed, in order and without polling", async () => {
  const { apiKey } = await product.account("pro");
  const session = await LiveSession.open(product.dev.edge_url, apiKey);
  const { id } = await create(product.client(apiKey), { prompt: "!idle=60 waves", steps: 30 });
  await session.until("completed", (frame) => frame.type === "video.completed" && frame.data?.id === id);

  const frames = session.of(id);
  const numbered = frames.filter((frame) => frame.sequence_number !== undefined);
  expect(numbered.map((frame) => frame.type)).toEqual(["video.queued", "video.in_progress", "video.completed"]);
  expect(numbered.map((frame) => frame.sequence_number)).toEqual([1, 2, 3]);
  const progress = frames.filter((frame) => frame.type === "video.progress").map((frame) => frame.data?.progress ?? -1);
  expect(progress.length).toBeGreaterThan(3);
  expect(progress).toEqual(progress.toSorted((a, b) => a - b));
  expect(progress[0]).toBeGreaterThanOrEqual(1);
  expect(progress.at(-1)).toBe(100);
  expect(frames.at(-1)?.type).toBe("video.completed");
  expect(frames.findIndex((frame) => frame.type === "video.in_progress")).toBeLessThan(
    frames.findIndex((frame) => frame.type === "video.progress"),
  );
  expect(await session.close()).toBe(1_000);
});

test("a waiting video's position and ETA are told live, and in its object", async () => {
  const { apiKey } = await product.account("free");
  const client = product.client(apiKey);
  const session = await LiveSession.open(product.dev.edge_url, apiKey);
  const first = await create(client, { prompt: "!idle=100 one", steps: 30 });
  const second = await create(client);
  const frame = await session.until("a position", (f) => f.type === "video.queue_position" && f.data?.id === second.id);
  expect(frame.data).toMatchObject({ position: expect.any(Number) as number });
  const waiting = await until("the object explains the wait", 10_000, async () => {
    const video = (await client.videos.retrieve(second.id)) as unknown as {
      scheduler: { blocked_by: string | null; eta: unknown };
    };
    return video.scheduler.blocked_by !== null && video.scheduler;
  });
  expect(waiting).toMatchObject({
    blocked_by: "account_concurrency",
    eta: { start_p50: expect.any(Number) as number },
  });
  await client.videos.delete(first.id);
  await session.close();
});

test("a client that comes back replays what it missed, without gap or repeat", async () => {
  const { apiKey } = await product.account("pro");
  const client = product.client(apiKey);
  const { id } = await create(client);
  await until("completed", 60_000, async () => (await client.videos.retrieve(id)).status === "completed");
  const session = await LiveSession.open(product.dev.edge_url, apiKey, "?starting_after=1");
  await session.until("the completion", (frame) => frame.type === "video.completed");
  const numbered = session.frames.filter(({ object }) => object === "event").map((frame) => frame.sequence_number);
  expect(numbered.filter((number) => number !== undefined)).toEqual([2, 3]);
  await session.close();
});

test("an account hears once that its credits run low, and when they end", async () => {
  const { id: account, apiKey } = await product.account("pro", "25");
  const session = await LiveSession.open(product.dev.edge_url, apiKey);
  await create(product.client(apiKey));
  const low = await session.until("the low balance", (frame) => frame.type === "credits.low_balance");
  expect(low.data).toMatchObject({ threshold: "25" });
  await create(product.client(apiKey));
  const expiresAt = new Date(Date.now() + 3_600_000).toISOString();
  await product.admin("POST", "/grants", { account_id: account, amount: "7", expires_at: expiresAt });
  const ending = await session.until("the end", (frame) => frame.type === "credits.grant_expiring");
  expect(ending.data).toMatchObject({ amount: "7", expires_at: Math.floor(Date.parse(expiresAt) / 1_000) });
  expect(session.frames.filter((frame) => frame.type === "credits.low_balance")).toHaveLength(1);
  await session.close();
});

test("a WebSocket without a valid key is refused before it opens", async () => {
  await expect(LiveSession.open(product.dev.edge_url, "cs_dev_wrong")).rejects.toThrow(/401/);
});

test("a receiver gets the signed webhook; the SDK and standardwebhooks accept it, a changed byte is refused", async () => {
  const { apiKey } = await product.account("pro");
  const received: { readonly headers: IncomingHttpHeaders; readonly body: string }[] = [];
  const answers = [503, 200];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      received.push({ headers: request.headers, body: Buffer.concat(chunks).toString("utf8") });
      response.writeHead(answers.shift() ?? 200).end();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    const { port } = server.address() as AddressInfo;
    const answer = await fetch(`${product.dev.edge_url}/v1/webhook_endpoints`, {
      method: "POST",
      headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json" },
      body: JSON.stringify({ url: `http://127.0.0.1:${port}/hook` }),
    });
    const endpoint = WebhookEndpoint.parse(await answer.json());
    const secret = endpoint.secret ?? "";
    expect(secret).toMatch(/^whsec_/);

    const { id } = await create(product.client(apiKey));
    // The first try is answered 503, so a second one comes after about five seconds, under the same id.
    await until("two tries", 30_000, async () => received.length >= 2);
    const [first, second] = received;
    if (first === undefined || second === undefined) throw new Error("two tries were received");
    expect(second.headers["webhook-id"]).toBe(first.headers["webhook-id"]);
    const headers = second.headers as Record<string, string>;

    const event = await product.client(apiKey).webhooks.unwrap(second.body, headers, secret);
    expect(event).toMatchObject({ object: "event", type: "video.completed", data: { id, status: "completed" } });
    expect(new Webhook(secret).verify(second.body, headers)).toMatchObject({ type: "video.completed" });

    const tampered = second.body.replace("completed", "complited");
    expect(() => new Webhook(secret).verify(tampered, headers)).toThrow();
    await expect(product.client(apiKey).webhooks.unwrap(tampered, headers, secret)).rejects.toThrow();
  } finally {
    server.close();
  }
});
