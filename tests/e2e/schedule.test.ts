import type OpenAI from "openai";
import { afterAll, beforeAll, expect, test } from "vitest";
import { LiveSession } from "#tests/support/live-session.ts";
import { Product, until } from "#tests/support/product.ts";

let product: Product;
beforeAll(async () => {
  product = await Product.start({ CALLSHEET_RUNNERS: "1" });
});
afterAll(() => product.stop());

const TINY = { size: "320x192", seconds: "1", steps: 8, seed: 3 };
const create = (client: OpenAI, more: object) =>
  client.videos.create({ ...TINY, ...more } as unknown as OpenAI.VideoCreateParams);

async function completed(client: OpenAI, id: string): Promise<void> {
  await until("completed", 60_000, async () => (await client.videos.retrieve(id)).status === "completed");
}

test("a flood of one account does not hold up another's few videos", async () => {
  const [flood, few] = await Promise.all([product.account("pro"), product.account("pro")]);
  const floodClient = product.client(flood.apiKey);
  const first = await Promise.all(Array.from({ length: 60 }, (_, n) => create(floodClient, { prompt: `flood ${n}` })));
  expect(first).toHaveLength(60);
  const fewClient = product.client(few.apiKey);
  const [begun] = await product.sql`select count(*)::int as count from attempt`;
  await Promise.all(Array.from({ length: 5 }, (_, n) => create(fewClient, { prompt: `few ${n}` })));
  await until("all are over", 100_000, async () => {
    const [row] = await product.sql`select count(*)::int as left from job where finished_at is null`;
    return row?.["left"] === 0;
  });
  const starts = await product.sql`
    select j.account_id, row_number() over (order by a.started_at) as place
    from attempt a join job j on j.id = a.job_id order by a.started_at`;
  const last = Math.max(...starts.filter((row) => row["account_id"] === few.id).map((row) => Number(row["place"])));
  // Its five take turns with the flood: the last of them starts before the flood's 20th start after they came.
  expect(last - Number(begun?.["count"])).toBeLessThan(20 + 5);
});

test("a video that is pushed aside goes on from its checkpoint and equals the one that was not", async () => {
  const [long, short] = await Promise.all([product.account("free"), product.account("pro")]);
  const longClient = product.client(long.apiKey);
  const undisturbed = await create(longClient, { prompt: "!idle=1 a mountain lake", steps: 60 });
  await completed(longClient, undisturbed.id);

  const session = await LiveSession.open(product.dev.edge_url, long.apiKey);
  const pushed = await create(longClient, { prompt: "!idle=150 a mountain lake", steps: 60 });
  await until("it runs", 20_000, async () => (await longClient.videos.retrieve(pushed.id)).progress > 5);
  const quick = await create(product.client(short.apiKey), { prompt: "a spark" });
  await completed(product.client(short.apiKey), quick.id);
  expect((await longClient.videos.retrieve(pushed.id)).status).toBe("in_progress");
  await session.until("completed", (frame) => frame.type === "video.completed" && frame.data?.id === pushed.id);

  const attempts = await product.sql`
    select outcome, from_step from attempt where job_id = ${pushed.id} order by epoch`;
  expect(attempts.map((attempt) => attempt["outcome"])).toEqual(["stopped", "completed"]);
  expect(attempts[1]?.["from_step"]).toBeGreaterThan(0);
  const types = session
    .of(pushed.id)
    .filter((frame) => frame.sequence_number !== undefined)
    .map((frame) => frame.type);
  expect(types).toEqual(["video.queued", "video.in_progress", "video.preempted", "video.completed"]);
  const progress = session
    .of(pushed.id)
    .flatMap((frame) => (frame.type === "video.progress" ? [frame.data?.progress ?? 0] : []));
  expect(progress).toEqual(progress.toSorted((a, b) => a - b));
  const hashes = await product.sql`
    select latents_sha256, frames_sha256 from job where id in ${product.sql([pushed.id, undisturbed.id])}`;
  expect(hashes[0]?.["latents_sha256"]).toMatch(/^[0-9a-f]{64}$/);
  expect(hashes[0]).toEqual(hashes[1]);
  const [hold] = await product.sql`select amount, captured from credit_hold where job_id = ${pushed.id}`;
  expect(hold?.["captured"]).toBe(hold?.["amount"]);
  await session.close();
});
