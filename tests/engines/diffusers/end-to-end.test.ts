/**
 * A tiny Wan model through the whole product: official SDK → edge → control plane → runner → sidecar → MP4; and what becomes of
 * a video whose sidecar is killed on the way.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type OpenAI from "openai";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { readMp4 } from "#tests/support/mp4.ts";
import { Product, until } from "#tests/support/product.ts";

const UP_MS = 300_000;
const DONE_MS = 180_000;
const STEPS = 10;
const MODEL = "wan";

let product: Product;
let client: OpenAI;
beforeAll(async () => {
  const modelFile = inject("tinyModelFile");
  const engine = { CALLSHEET_ENGINE: "diffusers", CALLSHEET_MODEL_FILE: modelFile, CALLSHEET_RUNNERS: "1" };
  product = await Product.start(engine, UP_MS);
  await product.admin("PUT", `/models/${MODEL}`, {
    engine: "diffusers",
    fps: 8,
    sizes: [{ size: "64x48", resolution: "48p" }],
    default_size: "64x48",
    seconds_max: 2,
    seconds_default: 1,
    steps_default: STEPS,
    steps_max: 50,
    resume: "exact",
  });
  const shapes = [{ k: 1, vram_bytes: 1_000_000_000, wall_ms: 5_000, decode_ms: 500 }];
  await product.admin("PUT", `/models/${MODEL}/classes/48p/2s`, {
    resolution: "48p",
    seconds_max: 2,
    price: "1",
    shapes,
  });
  client = product.client((await product.account("pro")).apiKey, { maxRetries: 5 });
});
afterAll(() => product.stop());

async function create(prompt: string): Promise<string> {
  const video = { model: MODEL, prompt, size: "64x48", seconds: "1", seed: 7, steps: STEPS };
  return (await client.videos.create(video as unknown as OpenAI.VideoCreateParams)).id;
}

async function completed(id: string): Promise<void> {
  await until("the video is completed", DONE_MS, async () => {
    const { status, error } = await client.videos.retrieve(id);
    if (status === "failed") throw new Error(JSON.stringify(error));
    return status === "completed";
  });
}

async function latentsOf(id: string): Promise<string> {
  const [row] = await product.sql`select latents_sha256 from job where id = ${id}`;
  return row?.["latents_sha256"] as string;
}

test("the video comes through the SDK as an MP4 of the asked size and duration", async () => {
  const id = await create("a red fox in the snow");
  await completed(id);
  const file = Buffer.from(await (await client.videos.downloadContent(id)).arrayBuffer());
  const [row] = await product.sql`select artifact_sha256 from job where id = ${id}`;
  expect(createHash("sha256").update(file).digest("hex")).toBe(row?.["artifact_sha256"]);
  expect(readMp4(file)).toEqual({ codec: "avc1", width: 64, height: 48, frames: 8, seconds: 1, fastStart: true });
  const [runner] = await product.sql`select engine, models from runner`;
  expect(runner).toMatchObject({ engine: "diffusers", models: expect.arrayContaining([MODEL]) });
  const log = await readFile(join(product.home, "logs", "runner-1.log"), "utf8");
  const loads = log.split("\n").filter((line) => line.includes('"weights loaded"'));
  const load = { job: id, model: MODEL, from: "disk", seconds: expect.any(Number) };
  expect(loads.map((line) => JSON.parse(line) as unknown)).toEqual([expect.objectContaining(load)]);
});

test.runIf(process.platform === "linux")(
  "a sidecar killed in the middle: the video goes on from its checkpoint and ends the same, charged once",
  async () => {
    const whole = await create("a red fox in the snow");
    await completed(whole);
    const id = await create("!idle=700 a red fox in the snow");
    await until("a checkpoint is kept", DONE_MS, async () => {
      const rows = await product.sql`select 1 from checkpoint where job_id = ${id}`;
      return rows.length > 0;
    });
    const [runner = 0] = (await product.pids()).runners;
    const [sidecar] = await sidecarsOf(runner);
    if (sidecar === undefined) throw new Error("the runner has no sidecar");
    process.kill(-sidecar, "SIGKILL");
    await completed(id);
    expect(await latentsOf(id)).toBe(await latentsOf(whole));
    const attempts = await product.sql`select from_step, outcome from attempt where job_id = ${id} order by epoch`;
    expect(attempts).toHaveLength(2);
    expect(Number(attempts[1]?.["from_step"])).toBeGreaterThan(0);
    const [hold] = await product.sql`select amount, captured from credit_hold where job_id = ${id}`;
    expect(hold?.["captured"]).toBe(hold?.["amount"]);
  },
);

/** Children of the runner that lead a group of their own. */
async function sidecarsOf(runner: number): Promise<number[]> {
  const children = (await readFile(`/proc/${runner}/task/${runner}/children`, "utf8")).trim().split(/\s+/).map(Number);
  const groups = await Promise.all(children.map((pid) => groupOf(pid)));
  return children.filter((pid, at) => groups[at] === pid);
}

async function groupOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[2]);
}
