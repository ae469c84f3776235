/** Devices that are shared, on the running product: runner A declares 2 x 80 GB with two slots each, runner B 1 x 24 GB. */
import type OpenAI from "openai";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Product, until } from "#tests/support/product.ts";

const BYTES_PER_GB = 1_000_000_000;
let product: Product;
let client: OpenAI;
beforeAll(async () => {
  product = await Product.start({ CALLSHEET_RUNNERS: "2", CALLSHEET_RUNNER_DEVICES: "2x80gb/2,1x24gb" });
  client = product.client((await product.account("pro", "10000")).apiKey);
});
afterAll(() => product.stop());

/** What a class of one second needs is data: the operator changes it while everything runs. */
function declare(resolution: string, k: number, gb: number): Promise<unknown> {
  const shapes = [{ k, vram_bytes: gb * BYTES_PER_GB, wall_ms: 2_000 }];
  const body = { resolution, seconds_max: 1, price: "2", shapes };
  return product.admin("PUT", `/models/reference/classes/${resolution}/1s`, body);
}

async function create(size: string, prompt: string, steps = 8): Promise<string> {
  const video = { prompt, size, seconds: "1", steps, seed: 3 };
  return (await client.videos.create(video as unknown as OpenAI.VideoCreateParams)).id;
}

/** Why the job waits; null once it does not. */
async function blockedBy(id: string): Promise<string | null> {
  const video = (await client.videos.retrieve(id)) as unknown as { scheduler: { blocked_by: string | null } };
  return video.scheduler.blocked_by;
}

interface Lease {
  readonly id: string;
  readonly runner_id: string;
  readonly devices: readonly string[];
  readonly slot: number | null;
}

/** The leases of these jobs once all of them run at the same time. */
function running(ids: readonly string[]): Promise<readonly Lease[]> {
  return until("all run at once", 30_000, async () => {
    const rows = await product.sql<Lease[]>`
      select id, runner_id, devices, slot from job
      where id in ${product.sql([...ids])} and state = 'running' order by devices, slot`;
    return rows.length === ids.length && rows;
  });
}

async function completed(ids: readonly string[]): Promise<void> {
  await until("all are over", 60_000, async () => {
    const rows = await product.sql`select 1 from job where id in ${product.sql([...ids])} and state <> 'completed'`;
    return rows.length === 0;
  });
}

test("two videos share a device by its slots, the third takes the other device, and none lands where it does not fit", async () => {
  await declare("480p", 1, 30);
  await declare("192p", 1, 200);
  const tooLarge = await create("320x192", "a spark");
  await until("a job no runner can hold says so", 10_000, async () => (await blockedBy(tooLarge)) === "no_runner");

  const three = await Promise.all([1, 2, 3].map((n) => create("832x480", `!idle=400 a lake ${n}`)));
  const leases = await running(three);
  expect(leases.map(({ runner_id, slot }) => [runner_id, slot])).toEqual([
    ["runner-1", 0],
    ["runner-1", 1],
    ["runner-1", 0],
  ]);
  const [first, second, third] = leases.map(({ devices }) => devices.join());
  expect(second).toBe(first);
  expect(third).not.toBe(first);
  const claims = await product.sql`select device, slot, job_id from device_claim order by device, slot`;
  expect(claims).toEqual(leases.map(({ id, devices, slot }) => ({ device: devices[0], slot, job_id: id })));
  await completed(three);
  expect(await product.sql`select 1 from device_claim`).toEqual([]);
  expect(await blockedBy(tooLarge)).toBe("no_runner");
});

test("a 1080p video takes the gang of two devices that it needs, whole, and waits for it rather than run on the small one", async () => {
  await declare("1080p", 2, 60);
  // One slot of one of the two devices is taken: the gang has to wait, though the small device is free.
  const small = await create("832x480", "!idle=300 a lake");
  await running([small]);
  const wide = await create("1920x1080", "a glacier", 1);
  await until("it waits for devices", 20_000, async () => (await blockedBy(wide)) === "capacity");
  const [lease] = await running([wide]);
  expect(lease).toMatchObject({ runner_id: "runner-1", slot: null });
  expect(new Set(lease?.devices).size).toBe(2);
  const claims = await product.sql`select device, slot from device_claim where job_id = ${wide} order by device, slot`;
  const [one, two] = (lease?.devices ?? []).toSorted();
  expect(claims).toEqual([
    { device: one, slot: 0 },
    { device: one, slot: 1 },
    { device: two, slot: 0 },
    { device: two, slot: 1 },
  ]);
  await completed([small, wide]);
  expect(await product.sql`select 1 from device_claim`).toEqual([]);
});

test("the operator sees what each device declared", async () => {
  const { data } = (await product.admin("GET", "/runners")) as { data: readonly { id: string; devices: unknown[] }[] };
  const devices = new Map(data.map((runner) => [runner.id, runner.devices]));
  expect(devices.get("runner-1")).toMatchObject([
    { vram_bytes: 80e9, slots: 2 },
    { vram_bytes: 80e9, slots: 2 },
  ]);
  expect(devices.get("runner-2")).toMatchObject([{ vram_bytes: 24e9, slots: 1 }]);
});
