import { afterAll, beforeAll, expect, test } from "vitest";
import type { VideoId } from "#protocol/id.ts";
import { ControlPlane } from "#tests/support/control-plane.ts";
import { until } from "#tests/support/product.ts";
import { Studio, TINY } from "#tests/support/studio.ts";

let studio: Studio;
let plane: ControlPlane;
beforeAll(async () => {
  studio = await Studio.open();
  plane = await ControlPlane.start(studio.url);
  await Promise.all([plane.runner("double", 2), plane.runner("single", 1)]);
});
afterAll(async () => {
  await plane.stop();
  await studio.close();
});

const CLASS = { resolution: "192p", seconds_max: 1, price: "0.75" } as const;
const shape = (k: number, wallMs: number) => ({ k, vram_bytes: 1_000, wall_ms: wallMs });
const putClass = (...shapes: object[]) => plane.admin("PUT", "/models/reference/classes/192p/1s", { ...CLASS, shapes });

function completed(...ids: VideoId[]): Promise<unknown> {
  return until("they are completed", 30_000, async () => {
    const jobs = await Promise.all(ids.map((id) => studio.job(id)));
    const failed = jobs.find(({ state }) => state === "failed");
    if (failed !== undefined) throw new Error(`${failed.errorCode}: ${failed.errorMessage}`);
    return jobs.every(({ state }) => state === "completed");
  });
}

test("a class that needs a gang takes both devices of one runner, one video after the other, and renders the same", async () => {
  const account = await studio.account("pro", { amount: "100" });
  const alone = await studio.submitted(account);
  await completed(alone.id);

  await putClass(shape(2, 400));
  const videos = [await studio.submitted(account), await studio.submitted(account)];
  await completed(...videos.map(({ id }) => id));
  const attempts = await studio.sql<{ runnerId: string; k: number; gpu: string; outcome: string }[]>`
    select runner_id, k, gpu, outcome from attempt where job_id in ${studio.sql(videos.map(({ id }) => id))}`;
  expect(attempts).toEqual([
    { runnerId: "double", k: 2, gpu: "CPU", outcome: "completed" },
    { runnerId: "double", k: 2, gpu: "CPU", outcome: "completed" },
  ]);
  const overlaps = await studio.sql`
    select 1 from attempt a join attempt b on a.k = 2 and b.k = 2 and a.job_id < b.job_id
    where a.started_at < b.ended_at and b.started_at < a.ended_at`;
  expect(overlaps).toHaveLength(0);
  const hashes = await Promise.all([alone, ...videos].map(async ({ id }) => (await studio.job(id)).latentsSha256));
  expect(new Set(hashes).size).toBe(1);

  const stages = await studio.sql<{ stage: string; predictedMs: number; actualMs: number }[]>`
    select stage, predicted_ms, actual_ms from attempt_stage where job_id = ${videos[0]?.id ?? ""} order by stage`;
  expect(stages.map(({ stage }) => stage)).toEqual(["load", "encode", "denoise", "decode", "upload"]);
  // 10 of the 30 steps that 400 ms were declared for.
  expect(stages.find(({ stage }) => stage === "denoise")?.predictedMs).toBe(133);
  expect(stages.find(({ stage }) => stage === "denoise")?.actualMs).toBeGreaterThan(0);
});

test("a gang that is pushed aside gives both devices to two small videos, and goes on from its checkpoint", async () => {
  const free = await studio.account("free", { amount: "1000" });
  await plane.admin("PATCH", "/runners/single", { drained: true });
  await putClass(shape(2, 9_000));
  const wide = await studio.submitted(free, { ...TINY, prompt: "!idle=100 a lake", steps: 40 });
  await until("it runs", 20_000, async () => (await studio.job(wide.id)).progress > 2);
  await putClass(shape(1, 750));
  const pros = await Promise.all([1, 2].map(() => studio.account("pro", { amount: "10" })));
  const small = await Promise.all(pros.map((account) => studio.submitted(account)));
  await completed(...small.map(({ id }) => id));
  await completed(wide.id);
  const attempts = await studio.sql<{ k: number; outcome: string; fromStep: number }[]>`
    select k, outcome, from_step from attempt where job_id = ${wide.id} order by epoch`;
  expect(attempts.map(({ k, outcome }) => [k, outcome])).toEqual([
    [2, "stopped"],
    [1, "completed"],
  ]);
  expect(attempts[1]?.fromStep).toBeGreaterThan(0);
});
