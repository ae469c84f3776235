/** Videos of a server with an API of OpenAI's kind, through the whole product: the runner starts it, and users see estimated progress. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type OpenAI from "openai";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Video } from "#protocol/video.ts";
import { readMp4 } from "#tests/support/mp4.ts";
import { Product, until } from "#tests/support/product.ts";

const DONE_MS = 60_000;
const STEPS = 20;
const STAND_IN = fileURLToPath(new URL("../engines/openai-video/stand-in.ts", import.meta.url));

let dir: string;
let product: Product;
let client: OpenAI;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "callsheet-video-server-"));
  const modelFile = join(dir, "models.json");
  const command = [process.execPath, STAND_IN, "--api", "sglang", "--port", "{port}", "--step-ms", "100", "--dir", dir];
  const probe = { width: 64, height: 64, frames: 1, steps: 1 };
  await writeFile(modelFile, JSON.stringify({ wan: { api: "sglang", command, probe } }));
  product = await Product.start({
    CALLSHEET_ENGINE: "openai-video",
    CALLSHEET_MODEL_FILE: modelFile,
    CALLSHEET_RUNNERS: "1",
  });
  await product.admin("PUT", "/models/wan", {
    engine: "openai-video",
    fps: 8,
    sizes: [{ size: "64x64", resolution: "64p" }],
    default_size: "64x64",
    seconds_max: 2,
    seconds_default: 1,
    steps_default: STEPS,
    steps_max: 50,
    resume: "none",
  });
  const shapes = [{ k: 1, vram_bytes: 1_000_000_000, wall_ms: 3_000, decode_ms: 500 }];
  await product.admin("PUT", "/models/wan/classes/64p/2s", { resolution: "64p", seconds_max: 2, price: "1", shapes });
  client = product.client((await product.account("pro")).apiKey, { maxRetries: 5 });
});
afterAll(async () => {
  await product.stop();
  await rm(dir, { recursive: true, force: true });
});

async function create(): Promise<string> {
  const video = { model: "wan", prompt: "a red fox in the snow", size: "64x64", seconds: "1", steps: STEPS };
  return (await client.videos.create(video as unknown as OpenAI.VideoCreateParams)).id;
}

async function seen(id: string, what: string, holds: (video: Video) => boolean): Promise<Video> {
  return until(what, DONE_MS, async () => {
    const video = Video.parse(await client.videos.retrieve(id));
    return holds(video) && video;
  });
}

test("a video is made by the server, its progress is said to be estimated, and it is an MP4 as asked for", async () => {
  const first = await create();
  await seen(first, "the first one is completed", ({ status }) => status === "completed");
  const id = await create();
  const { scheduler, progress } = await seen(
    id,
    "it is some way",
    (video) => video.progress > 20 && video.progress < 90,
  );
  expect([scheduler.progress_estimated, progress > 20]).toEqual([true, true]);
  await seen(id, "it is completed", ({ status }) => status === "completed");
  const file = Buffer.from(await (await client.videos.downloadContent(id)).arrayBuffer());
  expect(readMp4(file)).toMatchObject({ codec: "avc1", width: 64, height: 64, frames: 8, seconds: 1 });
});

test("a cancelled one pays the share that was probably done, and the next one is made", async () => {
  const id = await create();
  await seen(id, "it is some way", ({ progress }) => progress > 20);
  await client.post(`/videos/${id}/cancel`);
  const { usage, scheduler } = await seen(id, "it is cancelled", ({ status }) => status === "failed");
  expect(scheduler.state).toBe("cancelled");
  expect(Number(usage.charged)).toBeGreaterThan(0);
  expect(Number(usage.charged)).toBeLessThan(Number(usage.reserved));
  await seen(await create(), "the next one is completed", ({ status }) => status === "completed");
});
