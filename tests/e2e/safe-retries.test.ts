/** The official SDK, unmodified, over a network that loses things: how many videos there are afterwards, and whose. */
import OpenAI from "openai";
import { afterAll, beforeAll, expect, test } from "vitest";
import { LossyProxy, type Loss } from "#tests/support/lossy-proxy.ts";
import { Product, until } from "#tests/support/product.ts";

let product: Product;
let proxy: LossyProxy;
beforeAll(async () => {
  product = await Product.start();
  proxy = await LossyProxy.to(Number(new URL(product.dev.edge_url).port));
});
afterAll(async () => {
  await proxy.close();
  await product.stop();
});

const TINY = { prompt: "a red fox", size: "320x192", seconds: "1", steps: 8 } as unknown as OpenAI.VideoCreateParams;

function clientOf(apiKey: string, maxRetries = 2): OpenAI {
  return new OpenAI({ baseURL: `${proxy.url}/v1`, apiKey, maxRetries });
}

async function videosOf(account: string): Promise<readonly string[]> {
  return (await product.sql`select id from job where account_id = ${account}`).map((row) => row["id"] as string);
}

/** A tier of its own for an account that is to run into its limits. */
async function accountWith(limits: Readonly<Record<string, number>>) {
  const terms = { weight: 10, max_running: 10, max_queued: 1_000, start_bound_s: 86_400, ...limits };
  const tier = `tight-${crypto.randomUUID().slice(0, 8)}`;
  await product.admin("PUT", `/tiers/${tier}`, { creates_per_minute: 600, creates_burst: 100, ...terms });
  return product.account(tier);
}

test.each<[string, readonly Loss[]]>([
  ["an answer is lost", ["answer"]],
  ["two answers are lost", ["answer", "answer"]],
  ["a request never arrives", ["request"]],
  ["a request and then an answer are lost", ["request", "answer"]],
  ["the connection breaks while the create is under way", ["client"]],
])("when %s, the SDK's create makes one video and gets it", async (_what, losses) => {
  const { id: account, apiKey } = await product.account("pro");
  const lost = losses.map((loss) => proxy.lose(loss));
  const video = await clientOf(apiKey).videos.create(TINY);
  await Promise.all(lost);
  expect(await videosOf(account)).toEqual([video.id]);
  const [hold] = await product.sql`select count(*)::int as holds from credit_hold where account_id = ${account}`;
  expect(hold?.["holds"]).toBe(1);
});

test("two identical creates that are meant make two videos, also when both their answers are lost", async () => {
  const { id: account, apiKey } = await product.account("pro");
  const client = clientOf(apiKey);
  const lost = [proxy.lose("answer"), proxy.lose("answer")];
  const videos = await Promise.all([client.videos.create(TINY), client.videos.create(TINY)]);
  await Promise.all(lost);
  expect((await videosOf(account)).toSorted()).toEqual(videos.map(({ id }) => id).toSorted());
  expect(new Set(videos.map(({ id }) => id)).size).toBe(2);
});

test.each([
  ["A asks again first", 0],
  // B waits the 5 s it is told; the SDK's own fourth pause ends after 5.6 s at the earliest.
  ["B asks again first", 3],
])("A's answer is lost, B like it is refused by the rate, and %s: two videos, one each", async (_who, lostOfA) => {
  const { id: account, apiKey } = await accountWith({ creates_per_minute: 12, creates_burst: 1 });
  const client = clientOf(apiKey, 8);
  const lost = proxy.lose("answer");
  const first = client.videos.create(TINY);
  await lost;
  const before = proxy.answers;
  const second = client.videos.create(TINY);
  await until("B was refused", 5_000, () => Promise.resolve(proxy.answers > before));
  for (let n = 0; n < lostOfA; n++) void proxy.lose("request");
  const videos = await Promise.all([first, second]);
  expect(new Set(videos.map(({ id }) => id)).size).toBe(2);
  expect((await videosOf(account)).toSorted()).toEqual(videos.map(({ id }) => id).toSorted());
});

test("an answer that is lost because the edge was killed is found by the next edge", async () => {
  const { id: account, apiKey } = await product.account("pro");
  const lost = proxy.lose("answer");
  const created = clientOf(apiKey, 8).videos.create(TINY);
  await lost;
  const { edge } = await product.pids();
  process.kill(edge, "SIGKILL");
  const video = await created;
  expect(await videosOf(account)).toEqual([video.id]);
  await until("the edge is another one", 20_000, async () => (await product.pids()).edge !== edge);
});

test("the header that says it outright works through the SDK: a replay, and a 422 that is not retried", async () => {
  const { id: account, apiKey } = await product.account("pro");
  const client = clientOf(apiKey);
  const once = { headers: { "Idempotency-Key": `scene-4-take-1-${crypto.randomUUID()}` } };
  const first = await client.videos.create(TINY, once).withResponse();
  expect(first.response.headers.get("idempotency-replayed")).toBeNull();
  const again = await client.videos.create(TINY, once).withResponse();
  expect(again.response.headers.get("idempotency-replayed")).toBe("true");
  expect(again.data.id).toBe(first.data.id);
  const lost = proxy.lose("answer");
  expect((await client.videos.create(TINY, once)).id).toBe(first.data.id);
  await lost;
  const other = client.videos.create({ ...TINY, prompt: "a bear" }, once);
  await expect(other).rejects.toMatchObject({ status: 422, code: "idempotency_key_reuse", param: "idempotency-key" });
  expect(await videosOf(account)).toEqual([first.data.id]);
});

test("more than may run is taken and waits as throttled; more than may wait is refused, and not asked for again", async () => {
  const { id: account, apiKey } = await accountWith({ max_running: 1, max_queued: 2 });
  const client = clientOf(apiKey);
  const slow = { ...TINY, prompt: "!idle=300 slow", steps: 50 } as OpenAI.VideoCreateParams;
  const stateOf = (video: unknown) => (video as { scheduler: { state: string } }).scheduler.state;
  const first = await client.videos.create(slow);
  expect(stateOf(first)).toBe("queued");
  await until("the first one runs", 30_000, async () => stateOf(await client.videos.retrieve(first.id)) === "running");
  const second = await client.videos.create(slow);
  expect([stateOf(second), second.status]).toEqual(["throttled", "queued"]);
  const third = await client.videos.create(slow);
  const seen = await client.videos.retrieve(third.id);
  expect(seen).toMatchObject({
    status: "queued",
    scheduler: { state: "throttled", blocked_by: "account_concurrency" },
  });
  const refused: unknown = await client.videos.create(slow).catch((thrown: unknown) => thrown);
  expect(refused).toBeInstanceOf(OpenAI.RateLimitError);
  expect(refused).toMatchObject({ code: "queue_full", error: { queued: 2, limit: 2 } });
  const limits = await client.get("/limits");
  expect(limits).toMatchObject({
    object: "limits",
    running: { limit: 1, used: 1 },
    queued: { limit: 2, used: 2 },
    // Refused by the queue, not by the rate: each create was counted once, so it was not tried again.
    create: { per_minute: 600, burst: 100 },
  });
  for (const id of await videosOf(account)) await client.videos.delete(id);
});

test("models are listed as OpenAI lists them, with what may be asked of each", async () => {
  const models = [];
  for await (const model of product.client().models.list()) models.push(model);
  expect(models).toMatchObject([
    {
      id: "reference",
      object: "model",
      owned_by: "callsheet",
      created: expect.any(Number) as number,
      operations: ["create"],
      sizes: expect.arrayContaining(["320x192", "1280x720"]) as string[],
      seconds: { min: 1, max: 60, default: 4 },
    },
  ]);
});
