import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import OpenAI from "openai";
import type { Video } from "openai/resources/videos";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Product, until } from "#tests/support/product.ts";

let product: Product;
beforeAll(async () => {
  product = await Product.start();
});
afterAll(() => product.stop());

/** The SDK's types know OpenAI's own sizes and seconds only; ours are wider. */
const TINY = { prompt: "a red fox in the snow", size: "320x192", seconds: "1" } as unknown as OpenAI.VideoCreateParams;
const REQUIRED = [
  "id",
  "object",
  "model",
  "status",
  "progress",
  "created_at",
  "completed_at",
  "expires_at",
  "prompt",
  "size",
  "seconds",
  "remixed_from_video_id",
  "error",
];

function completed(client: OpenAI, id: string): Promise<Video> {
  return until("the video is completed", 60_000, async () => {
    const video = await client.videos.retrieve(id);
    if (video.status === "failed") throw new Error(`failed: ${JSON.stringify(video.error)}`);
    return video.status === "completed" && video;
  });
}

test("create, retrieve until completed, download: the bytes are those that the runner uploaded", async () => {
  const client = product.client();
  const created = await client.videos.create(TINY);
  expect(Object.keys(created)).toEqual(expect.arrayContaining(REQUIRED));
  expect(created).toMatchObject({ object: "video", status: "queued", seconds: "1", size: "320x192", progress: 0 });

  const video = await completed(client, created.id);
  expect(video).toMatchObject({ progress: 100, error: null });
  expect(video.completed_at).toBeGreaterThanOrEqual(created.created_at);

  const bytes = Buffer.from(await (await client.videos.downloadContent(created.id)).arrayBuffer());
  const [row] = await product.sql`select artifact_sha256, artifact_bytes from job where id = ${created.id}`;
  expect(createHash("sha256").update(bytes).digest("hex")).toBe(row?.["artifact_sha256"]);
  expect(bytes.length).toBe(Number(row?.["artifact_bytes"]));
  expect(bytes.subarray(4, 8).toString("latin1")).toBe("ftyp");
});

test("create with JSON by plain fetch takes numbers, metadata, seed and steps", async () => {
  const response = await fetch(`${product.dev.edge_url}/v1/videos`, {
    method: "POST",
    headers: { authorization: `Bearer ${product.key("plus")}`, "content-type": "application/json" },
    body: JSON.stringify({
      prompt: "waves",
      size: "320x192",
      seconds: 1,
      steps: 8,
      seed: 42,
      metadata: { shot: "12a" },
    }),
  });
  expect(response.status).toBe(200);
  expect(response.headers.get("x-request-id")).toMatch(/^req_/);
  const video = (await response.json()) as Video & { metadata: unknown };
  expect(video).toMatchObject({ seconds: "1", metadata: { shot: "12a" } });
  await completed(product.client(product.key("plus")), video.id);
});

test("the same seed renders the same video, another seed another", async () => {
  const client = product.client();
  const latents = async (seed: number) => {
    const { id } = await client.videos.create({ ...TINY, seed, steps: 8 } as OpenAI.VideoCreateParams);
    await completed(client, id);
    const [row] = await product.sql`select latents_sha256 from job where id = ${id}`;
    return row?.["latents_sha256"] as string;
  };
  const [first, again, other] = await Promise.all([latents(1), latents(1), latents(2)]);
  expect(first).toMatch(/^[0-9a-f]{64}$/);
  expect(again).toBe(first);
  expect(other).not.toBe(first);
});

test("list pages through everything, newest first or oldest first", async () => {
  const { apiKey } = await product.account("pro");
  const client = product.client(apiKey);
  const made: string[] = [];
  for (let n = 0; n < 7; n++) made.push((await client.videos.create(TINY)).id);
  const collect = async (order: "asc" | "desc") => {
    const ids: string[] = [];
    for await (const video of client.videos.list({ limit: 3, order })) ids.push(video.id);
    return ids;
  };
  expect(await collect("asc")).toEqual(made);
  expect(await collect("desc")).toEqual(made.toReversed());
});

test("a deleted video is gone for its owner, and a cursor that points at it still works", async () => {
  const { apiKey } = await product.account("pro");
  const client = product.client(apiKey);
  const ids: string[] = [];
  for (let n = 0; n < 3; n++) ids.push((await client.videos.create(TINY)).id);
  const [first = "", middle = "", last = ""] = ids;
  expect(await client.videos.delete(middle)).toEqual({ id: middle, object: "video.deleted", deleted: true });
  await expect(client.videos.retrieve(middle)).rejects.toBeInstanceOf(OpenAI.NotFoundError);
  const page = await client.videos.list({ order: "asc", after: middle });
  expect(page.data.map((video) => video.id)).toEqual([last]);
  expect((await client.videos.list({ order: "desc", after: middle })).data.map((video) => video.id)).toEqual([first]);
});

test("an unknown id and another account's id are the same NotFoundError", async () => {
  const mine = await product.client().videos.create(TINY);
  const stranger = product.client(product.key("free"));
  const errors = await Promise.all(
    [mine.id, `video_${"0".repeat(32)}`, "video_nonsense"].map((id) =>
      stranger.videos.retrieve(id).catch((error: unknown) => error),
    ),
  );
  for (const error of errors) {
    expect(error).toBeInstanceOf(OpenAI.NotFoundError);
    expect(error).toMatchObject({
      status: 404,
      code: "video_not_found",
      error: (errors[0] as InstanceType<typeof OpenAI.APIError>).error,
    });
  }
});

test("content before completion is a 409 that the SDK does not retry", async () => {
  const client = product.client(product.key("free"), { maxRetries: 2 });
  const { id } = await client.videos.create({ ...TINY, prompt: "!idle=100 a long one" });
  const error: unknown = await client.videos.downloadContent(id).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(OpenAI.ConflictError);
  expect(error).toMatchObject({ code: "video_not_ready" });
  await client.videos.delete(id);
});

test("a part of the video can be fetched by range", async () => {
  const client = product.client();
  const { id } = await client.videos.create(TINY);
  await completed(client, id);
  const url = `${product.dev.edge_url}/v1/videos/${id}/content`;
  const get = (range: string) => fetch(url, { headers: { authorization: `Bearer ${product.key("pro")}`, range } });
  const part = await get("bytes=4-7");
  expect(part.status).toBe(206);
  expect(await part.text()).toBe("ftyp");
  expect(part.headers.get("content-range")).toMatch(/^bytes 4-7\/\d+$/);
  expect((await get("bytes=99999999-")).status).toBe(416);
});

test("a running video can be cancelled: it fails as cancelled, pays its done share, and the runner takes the next one", async () => {
  const { id: account, apiKey } = await product.account("plus");
  const client = product.client(apiKey);
  const { id } = await client.videos.create({
    ...TINY,
    prompt: "!idle=200 slow",
    steps: 50,
  } as OpenAI.VideoCreateParams);
  await until("it runs", 30_000, async () => (await client.videos.retrieve(id)).progress > 2);
  const cancel = await fetch(`${product.dev.edge_url}/v1/videos/${id}/cancel`, {
    method: "POST",
    headers: { authorization: `Bearer ${apiKey}` },
  });
  expect(cancel.status).toBe(200);
  const video = await until("it is cancelled", 30_000, async () => {
    const now = await client.videos.retrieve(id);
    return now.status === "failed" && now;
  });
  expect(video.error).toMatchObject({ code: "cancelled" });
  const [hold] = await product.sql`select amount, captured from credit_hold where account_id = ${account}`;
  expect(Number(hold?.["captured"])).toBeGreaterThan(0);
  expect(Number(hold?.["captured"])).toBeLessThan(Number(hold?.["amount"]));
  await completed(client, (await client.videos.create(TINY)).id);
});

test("an image that is given as the first frame changes the video; something else is refused by name", async () => {
  const png = await readFile(new URL("../support/first-frame.png", import.meta.url));
  const client = product.client();
  const file = new File([png], "first.png", { type: "image/png" });
  const { id } = await client.videos.create({
    ...TINY,
    seed: 1,
    steps: 8,
    input_reference: file,
  } as OpenAI.VideoCreateParams);
  await completed(client, id);
  const text = new File(["not an image"], "first.png", { type: "image/png" });
  const refused = client.videos.create({ ...TINY, input_reference: text });
  await expect(refused).rejects.toMatchObject({ status: 400, param: "input_reference" });
});

test("what a video would cost, the balance, and a create that cannot be paid come through the SDK", async () => {
  const { apiKey } = await product.account("pro", "1");
  const client = product.client(apiKey, { maxRetries: 2 });
  const estimate = await client.post("/videos/estimate", { body: TINY });
  expect(estimate).toMatchObject({ price: "0.75", available: "1", would_be_accepted: true });
  const video = await client.videos.create(TINY);
  const [grant] = ((await client.get("/credits/grants")) as { data: { id: string }[] }).data;
  const lots = [{ grant_id: grant?.id, amount: "0.75" }];
  expect(video).toMatchObject({ usage: { unit: "credits", reserved: "0.75", charged: "0", refunded: "0", lots } });
  const error: unknown = await client.videos.create(TINY).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(OpenAI.APIError);
  expect(error).toMatchObject({
    status: 402,
    code: "insufficient_credits",
    type: "billing_error",
    error: { required: "0.75", available: "0.25" },
  });
  await completed(client, video.id);
  expect(await client.get("/credits/balance")).toMatchObject({ settled: "0.25", held: "0", available: "0.25" });
  expect(await client.get("/credits/transactions", { query: { limit: 2 } })).toMatchObject({
    data: [
      { type: "captured", video_id: video.id },
      { type: "held", available: { before: "1", after: "0.25" } },
    ],
    has_more: true,
  });
});
