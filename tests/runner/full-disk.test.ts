/** Real runners on real disks that are too small, and a store that is full. */
import { createHash } from "node:crypto";
import { readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Sha256Hex } from "#protocol/id.ts";
import type { LeaseRef, RunSpec } from "#protocol/runner.ts";
import { isStorageFull, storageFull } from "#gpu-runner/storage-fault.ts";
import { Desk } from "./desk.ts";
import { aSpec, JOB } from "./reference-job.ts";
import { aRunner } from "./runner-program.ts";
import { aRunnerOnSmallDisk, whyNoSmallDisk } from "./small-disk.ts";

const KIB = 1024;
/** A checkpoint of this picture is 215 KB, of its finished denoise half of that; its video is some 40 KB. */
const SPEC = aSpec();
const SAVED = aSpec({ prompt: "!idle=60 a red fox in the snow" });

let desk: Desk;
let epoch = 0;

beforeEach(async () => {
  desk = new Desk();
  epoch = 0;
  await desk.open();
});
afterEach(() => desk.close());

if (whyNoSmallDisk !== null) console.warn(`skipped: ${whyNoSmallDisk}`);

describe.runIf(whyNoSmallDisk === null)("a runner whose disk is full", () => {
  test("ends the attempt as storage_full when the video does not fit, and renders the next one once there is room", async () => {
    const { dir } = await aRunnerOnSmallDisk([desk.url], 256 * KIB);
    await desk.frame("hello");
    await fill(dir, 248 * KIB);
    const full = assign(SPEC);
    const { error } = await desk.frame("failed", ({ lease }) => lease.epoch === full.epoch);
    expect(error).toMatchObject({ class: "host_fatal", code: "storage_full" });
    expect(error.detail).toContain("ENOSPC");
    expect(desk.store.size).toBe(0);
    await expectSettled(dir, ["ballast"]);
    await rm(join(dir, "ballast"));
    const next = assign(SPEC);
    expect((await desk.frame("finished")).lease).toEqual(next);
    await expectSettled(dir, []);
  });

  test("goes on rendering when only the checkpoint does not fit, and uploads the video", async () => {
    const { dir } = await aRunnerOnSmallDisk([desk.url], 96 * KIB);
    await desk.frame("hello");
    const lease = assign(SAVED);
    const { artifact } = await desk.frame("finished");
    expect(desk.heard.some(({ t }) => t === "checkpoint" || t === "failed")).toBe(false);
    expect([...desk.store.keys()]).toEqual([`/${artifact.sha256}`]);
    expect(lease.epoch).toBe(1);
    await expectSettled(dir, []);
  });

  test("stops when it is told to, from the step that is kept", async () => {
    const { dir } = await aRunnerOnSmallDisk([desk.url], 96 * KIB);
    await desk.frame("hello");
    const lease = assign(SAVED);
    await desk.frame("step", ({ done }) => done === 3);
    desk.say({ t: "stop", lease, why: "preempt", deadline_ms: 10_000 });
    expect(await desk.frame("stopped")).toMatchObject({ why: "preempt", step: 0 });
    await expectSettled(dir, []);
  });

  test("does not blame a checkpoint that it has no room for", async () => {
    const { dir } = await aRunnerOnSmallDisk([desk.url], 64 * KIB);
    await desk.frame("hello");
    const file = Buffer.alloc(200 * KIB, 1);
    const sha256 = Sha256Hex.parse(createHash("sha256").update(file).digest("hex"));
    desk.store.set(`/${sha256}`, file);
    const resume = { step: 3, url: `${desk.url}/${sha256}`, sha256, bytes: file.length, written_for: JOB };
    desk.assign({ job: JOB, epoch: ++epoch }, SPEC, resume);
    const { error } = await desk.frame("failed");
    expect(error).toMatchObject({ class: "host_fatal", code: "storage_full" });
    await expectSettled(dir, []);
  });

  test("fails attempt after attempt while its disk is full, and lives on", async () => {
    const { dir } = await aRunnerOnSmallDisk([desk.url], 16 * KIB);
    await desk.frame("hello");
    await fill(dir, 16 * KIB);
    for (let n = 0; n < 3; n++) {
      const lease = assign(SPEC);
      const { error } = await desk.frame("failed", (frame) => frame.lease.epoch === lease.epoch);
      expect(error.code).toBe("storage_full");
    }
    await rm(join(dir, "ballast"));
  });
});

describe("a store that is full", () => {
  test("costs the attempt its checkpoints, and ends it when the video is due; the runner serves the next one", async () => {
    desk.answerPut = 507;
    await aRunner([desk.url], { CALLSHEET_LOG: "silent" });
    await desk.frame("hello");
    const lease = assign(SAVED);
    const { error } = await desk.frame("failed", (frame) => frame.lease.epoch === lease.epoch);
    expect(error).toMatchObject({ class: "retryable", code: "storage_full" });
    expect(error.detail).toContain("507");
    desk.answerPut = "rightly";
    const next = assign(SPEC);
    expect((await desk.frame("finished")).lease).toEqual(next);
  });
});

describe("a fault", () => {
  const coded = (code: string) => Object.assign(new Error(`${code}: write`), { code });

  test.each(["ENOSPC", "EDQUOT", "EROFS"])("%s means a full disk, however deep it lies", (code) => {
    const deep = new Error("transfer failed", { cause: new Error("write failed", { cause: coded(code) }) });
    expect(isStorageFull(deep)).toBe(true);
    expect(storageFull(deep)).toMatchObject({ class: "host_fatal", code: "storage_full" });
  });

  test.each(["EIO", "ENOENT", "ECONNRESET"])("%s does not", (code) => {
    expect(isStorageFull(coded(code))).toBe(false);
  });

  test("that is its own cause is not looked at for ever", () => {
    const loop = new Error("loop");
    loop.cause = loop;
    expect(isStorageFull(loop)).toBe(false);
  });
});

function assign(spec: RunSpec): LeaseRef {
  const lease = { job: JOB, epoch: ++epoch };
  desk.assign(lease, spec);
  return lease;
}

async function fill(dir: string, bytes: number): Promise<void> {
  await writeFile(join(dir, "ballast"), Buffer.alloc(bytes)).catch(() => undefined); // As much as there is room for.
}

/** Beside its identity and `attempts`, which is empty once the lease is forgotten, only this lies there. */
async function expectSettled(dir: string, rest: readonly string[]): Promise<void> {
  await expect
    .poll(() => readdir(dir, { recursive: true }), { timeout: 5_000 })
    .toEqual(expect.arrayContaining(["attempts", "identity.json", ...rest]));
  await expect.poll(async () => (await readdir(dir, { recursive: true })).length).toBe(2 + rest.length);
}
