import type OpenAI from "openai";
import { afterAll, beforeAll, expect, test } from "vitest";
import { LiveSession } from "#tests/support/live-session.ts";
import { alive, Product, until } from "#tests/support/product.ts";

let product: Product;
beforeAll(async () => {
  product = await Product.start({ CALLSHEET_RUNNERS: "2" });
});
afterAll(() => product.stop());

/** About eight seconds of denoising that burns nothing, with a checkpoint every two. */
const SLOW = {
  prompt: "!idle=200 a lighthouse",
  size: "320x192",
  seconds: "1",
  steps: 40,
  seed: 5,
} as unknown as OpenAI.VideoCreateParams;

async function running(client: OpenAI, checkpoints: number): Promise<string> {
  const { id } = await client.videos.create(SLOW);
  await until("it has a checkpoint", 30_000, async () => {
    const rows = await product.sql`select 1 from checkpoint where job_id = ${id}`;
    return rows.length >= checkpoints;
  });
  return id;
}

async function latentsOf(id: string): Promise<string> {
  const [row] = await product.sql`select latents_sha256 from job where id = ${id}`;
  return String(row?.["latents_sha256"]);
}

test("kill -9 of a runner mid-job: the other one finishes it from its checkpoint, bit-equal, charged once", async () => {
  const { id: account, apiKey } = await product.account("pro");
  const client = product.client(apiKey);
  const undisturbed = await client.videos.create({
    ...SLOW,
    prompt: "!idle=1 a lighthouse",
  });
  await until("completed", 60_000, async () => (await client.videos.retrieve(undisturbed.id)).status === "completed");

  const session = await LiveSession.open(product.dev.edge_url, apiKey);
  const id = await running(client, 1);
  const [row] = await product.sql`select runner_id, progress from job where id = ${id}`;
  const victim = String(row?.["runner_id"]);
  const pid = (await product.pids()).runners[Number(victim.split("-").at(-1)) - 1] ?? 0;
  expect(alive(pid)).toBe(true);
  const killedAtMs = performance.now();
  process.kill(pid, "SIGKILL");
  await until("it runs again", 15_000, async () => {
    const [now] = await product.sql`select epoch, state from job where id = ${id}`;
    return Number(now?.["epoch"]) === 2 && now?.["state"] === "running";
  });
  console.info(`a killed runner's job ran again after ${Math.round(performance.now() - killedAtMs)} ms`);
  await session.until("completed", (frame) => frame.type === "video.completed" && frame.data?.id === id);

  const attempts =
    await product.sql`select epoch, runner_id, from_step, outcome from attempt where job_id = ${id} order by epoch`;
  expect(attempts.map((attempt) => attempt["outcome"])).toEqual(["lost", "completed"]);
  expect(attempts[0]?.["runner_id"]).toBe(victim);
  expect(attempts[1]?.["runner_id"]).not.toBe(victim);
  expect(attempts[1]?.["from_step"]).toBeGreaterThan(0);
  const types = session
    .of(id)
    .filter((frame) => frame.sequence_number !== undefined)
    .map((frame) => frame.type);
  expect(types).toEqual(["video.queued", "video.in_progress", "video.retrying", "video.completed"]);
  const progress = session
    .of(id)
    .flatMap((frame) => (frame.type === "video.progress" ? [frame.data?.progress ?? 0] : []));
  expect(progress).toEqual(progress.toSorted((a, b) => a - b));
  const [money] = await product.sql`select captured, amount from credit_hold where job_id = ${id}`;
  expect(money?.["captured"]).toBe(money?.["amount"]);
  const [purse] = await product.sql`select sum(held)::int as held from credit_grant where account_id = ${account}`;
  expect(purse?.["held"]).toBe(0);
  expect(await latentsOf(id)).toMatch(/^[0-9a-f]{64}$/);
  expect(await latentsOf(id)).toBe(await latentsOf(undisturbed.id));
  await session.close();
});

test("kill -9 of the control plane mid-job: the supervisor restarts it, the next poll succeeds, the same attempt completes", async () => {
  const client = product.client(product.key("pro"));
  const id = await running(client, 1);
  const [pid = 0] = (await product.pids()).control_plane;
  process.kill(pid, "SIGKILL");
  const polled = await client.videos.retrieve(id);
  expect(polled.status).toBe("in_progress");
  const created = await client.videos.create({ ...SLOW, prompt: "a pier", steps: 8 } as OpenAI.VideoCreateParams);
  await until("both completed", 60_000, async () => {
    const videos = await Promise.all([id, created.id].map((video) => client.videos.retrieve(video)));
    return videos.every((video) => video.status === "completed");
  });
  const attempts = await product.sql`select outcome from attempt where job_id = ${id}`;
  expect(attempts.map((attempt) => attempt["outcome"])).toEqual(["completed"]);
});

test("kill -9 of the edge and of PostgreSQL: both come back, nothing is lost", async () => {
  const client = product.client(product.key("pro"));
  const id = await running(client, 1);
  const { edge, postgres } = await product.pids();
  process.kill(edge, "SIGKILL");
  process.kill(postgres, "SIGKILL");
  await until("completed", 60_000, async () => {
    // While both are down a poll may fail; the SDK's own retries are not meant to bridge it.
    const video = await client.videos.retrieve(id).catch(() => null);
    return video?.status === "completed";
  });
  const [row] = await product.sql`select captured, amount from credit_hold where job_id = ${id}`;
  expect(row?.["captured"]).toBe(row?.["amount"]);
});
