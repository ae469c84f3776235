/**
 * R11: the store's disk and a runner's disk are full, and the newest checkpoint is spoiled before its runner dies. Nothing half-written
 * may be seen, no job is lost, and one that goes on from an older checkpoint ends with the very same picture.
 */
import { open } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { until } from "#tests/support/product.ts";
import { FullDisk } from "../full-disk.ts";
import type { Row } from "../row.ts";
import type { Stage } from "../stage.ts";

/** Of the store: the load writes there too, round after round. */
const STORE_MEBIBYTES = 256;
const RUNNER_MEBIBYTES = 8;
const LEAVE_BYTES = 8 * 1024;
const FULL_MS = 8_000;
const JOBS = 3;
const END_MS = 90_000;
const AGAIN_WAIT_MS = 30_000;
const CHECKPOINTS = 2;

/** Mounted over the store until the checker has looked. */
let store: FullDisk | null = null;

export const brokenStorage: Row = {
  id: "R11",
  fault: "disk full (store; runner), newest checkpoint spoiled",
  rounds: { full: 3, slice: null },
  runners: 5,
  beside: null,
  goals: [
    { name: "unfinished", says: "videos that did not complete", most: 0, unit: "", kind: "safety" },
    { name: "released", says: "holds given up while the disk was full", most: 0, unit: "", kind: "safety" },
    { name: "differ", says: "resumed pictures that differ", most: 0, unit: "", kind: "safety" },
  ],
  async run(stage, rounds) {
    store = await FullDisk.mount(join(stage.site.product.home, "store"), STORE_MEBIBYTES);
    for (let round = 0; round < rounds; round++) {
      await fullStore(stage, store);
      await fullRunner(stage);
      await spoiledCheckpoint(stage);
    }
  },
  async restore() {
    store?.unmount();
    store = null;
  },
};

async function fullStore(stage: Stage, disk: FullDisk): Promise<void> {
  await disk.fill(LEAVE_BYTES);
  const jobs = await Promise.all(Array.from({ length: JOBS }, () => stage.submit("!idle=100 a pier", 8)));
  await sleep(FULL_MS);
  const held = await stage.site.product.sql`
    select 1 from credit_hold where job_id = any(${jobs}) and state = 'open'`;
  const ended = await stage.site.product.sql`
    select state from job where id = any(${jobs}) and finished_at is not null and state <> 'completed'`;
  stage.figures.note("released", ended.length);
  stage.notes.push(`store full for ${FULL_MS} ms: ${held.length} of ${JOBS} jobs still held their credits`);
  await disk.relieve();
  for (const job of jobs) await completes(stage, job);
}

/** Only the runner's own disk is full: another one must take over. */
async function fullRunner(stage: Stage): Promise<void> {
  const { fleet, product } = stage.site;
  const id = fleet.freshId();
  const disk = await FullDisk.mount(join(product.home, "runners", id), RUNNER_MEBIBYTES);
  try {
    const runner = await fleet.start({ id });
    await disk.fill(0);
    const jobs = await Promise.all(
      Array.from({ length: fleet.all.length }, () => stage.submit("!idle=300 a pier", 10)),
    );
    for (const job of jobs) await completes(stage, job);
    const met = await stage.site.product.sql<{ outcome: string }[]>`
      select outcome from attempt where runner_id = ${id} order by started_at`;
    stage.notes.push(`attempts on the full disk: ${met.map(({ outcome }) => outcome).join(", ") || "none"}`);
    await fleet.retire(runner);
  } finally {
    disk.unmount();
  }
}

async function spoiledCheckpoint(stage: Stage): Promise<void> {
  const { site } = stage;
  const prompt = "!idle=200 a lighthouse";
  const calm = await stage.submit(prompt, 30);
  const { job, runner } = await stage.running(await stage.submit(prompt, 30));
  const [newest] = await until("it has two checkpoints", AGAIN_WAIT_MS, async () => {
    const rows = await site.product.sql<{ store_key: string; step: number }[]>`
      select store_key, step from checkpoint where job_id = ${job} order by step desc`;
    return rows.length >= CHECKPOINTS ? rows : null;
  });
  if (newest === undefined) throw new Error("two checkpoints have a newest");
  const file = await open(join(site.product.home, "store", newest.store_key), "r+");
  stage.spoiled.add(newest.store_key.replace(/^jobs\//, ""));
  const { size } = await file.stat();
  await file.write(Buffer.from([0xff, 0x00, 0xff]), 0, 3, Math.floor(size / 2));
  await file.close();
  runner.signal("SIGKILL");
  await site.fleet.atLeast(brokenStorage.runners);
  await completes(stage, job);
  await completes(stage, calm);
  const latents = await site.product.sql<{ id: string; seed: string; latents_sha256: string }[]>`
    select id, seed::text, latents_sha256 from job where id = any(${[job, calm]})`;
  const attempts = await site.product.sql<{ epoch: number; from_step: number; outcome: string }[]>`
    select epoch, from_step, outcome from attempt where job_id = ${job} order by epoch`;
  stage.notes.push(
    `checkpoint of step ${newest.step} spoiled; attempts ${attempts.map((one) => `${one.epoch} from ${one.from_step} ${one.outcome}`).join(", ")}`,
  );
  stage.figures.note("differ", latents[0]?.latents_sha256 === latents[1]?.latents_sha256 ? 0 : 1);
}

async function completes(stage: Stage, job: string): Promise<void> {
  const end = await stage.poll(END_MS, async () => {
    const [row] = await stage.site.product.sql<{ state: string }[]>`
      select state from job where id = ${job} and finished_at is not null`;
    return row ?? null;
  });
  stage.figures.note("unfinished", end?.state === "completed" ? 0 : 1);
  if (end?.state !== "completed") stage.notes.push(`${job} ended as ${end?.state ?? "nothing yet"}`);
}
