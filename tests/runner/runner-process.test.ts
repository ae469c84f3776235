import type { ChildProcess } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Sha256Hex, VideoId } from "#protocol/id.ts";
import type { LeaseRef } from "#protocol/runner.ts";
import { readMp4 } from "#tests/support/mp4.ts";
import { Desk } from "./desk.ts";
import { aSpec, JOB } from "./reference-job.ts";
import { childrenOf, end, forkRunner, isAlive } from "./runner-program.ts";

const LEASE: LeaseRef = { job: JOB, epoch: 1 };
const NEXT: LeaseRef = { job: JOB, epoch: 2 };
const onLinux = process.platform === "linux";

let desk: Desk;
let dir: string;
let runner: ChildProcess;

beforeEach(async () => {
  desk = new Desk();
  dir = await mkdtemp(join(tmpdir(), "callsheet-runner-"));
  runner = startRunner([await desk.open()]);
});

afterEach(async () => {
  await end(runner);
  await desk.close();
  await rm(dir, { recursive: true, force: true });
});

describe("a runner process", () => {
  test("tells its parent when it was welcomed, and renders, uploads and finishes what it is assigned", async () => {
    await once(runner, "message");
    desk.assign(LEASE, aSpec());
    const { artifact } = await desk.frame("finished");
    const file = desk.store.get(`/${artifact.sha256}`) ?? Buffer.alloc(0);
    expect(createHash("sha256").update(file).digest("hex")).toBe(artifact.sha256);
    expect(readMp4(file)).toMatchObject({ width: 320, height: 192, frames: 24, seconds: 1 });
    expect(desk.heard.flatMap((frame) => (frame.t === "stage" ? [frame.stage] : []))).toEqual([
      "load",
      "encode",
      "denoise",
      "decode",
      "upload",
    ]);
    expect(steps(LEASE)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });

  test("survives its crashing engine, says so, and the next attempt goes on from the preempted one's checkpoint", async () => {
    await desk.frame("hello");
    desk.assign(LEASE, aSpec({ prompt: "!idle=60 a fox" }));
    await desk.frame("step", (frame) => frame.done === 3);
    desk.say({ t: "stop", lease: LEASE, why: "preempt", deadline_ms: 10_000 });
    const stopped = await desk.frame("stopped");
    const saved = await desk.frame("checkpoint");
    expect(stopped).toMatchObject({ why: "preempt", step: saved.step });
    desk.assign(NEXT, aSpec({ prompt: "!crash@7 a fox" }), desk.resumeFrom(saved));
    expect((await desk.frame("failed")).error).toMatchObject({ class: "engine_fatal", code: "exited" });
    const last: LeaseRef = { job: JOB, epoch: 3 };
    desk.assign(last, aSpec({ prompt: "a fox" }), desk.resumeFrom(saved));
    const resumed = await desk.frame("finished");
    expect(steps(last)[0]).toBe(saved.step + 1);

    const other: LeaseRef = { job: VideoId.parse(`video_${"e".repeat(32)}`), epoch: 1 };
    desk.assign(other, aSpec({ prompt: "a fox" }));
    const whole = await desk.frame("finished", (frame) => frame.lease.job === other.job);
    expect(resumed.artifact.latents_sha256).toBe(whole.artifact.latents_sha256);
    expect(resumed.artifact.frames_sha256).toBe(whole.artifact.frames_sha256);
  });

  test("goes on over a broken line: dials again with its lease and repeats the ending until it is recorded", async () => {
    await desk.frame("hello");
    desk.ignoreEndings = 1;
    desk.assign(LEASE, aSpec({ prompt: "!idle=40 a fox" }));
    await desk.frame("step", (frame) => frame.done === 2);
    desk.hangUp();
    const again = await desk.frame("hello", (frame) => frame.leases.length > 0);
    expect(again.leases).toMatchObject([LEASE]);
    await desk.frame("finished");
    desk.heard.length = 0;
    desk.hangUp();
    await desk.frame("finished");
    desk.heard.length = 0;
    desk.hangUp();
    expect((await desk.frame("hello")).leases).toEqual([]);
  });

  test("says which: a checkpoint that is damaged in the store is bad, one that is gone is unavailable", async () => {
    await desk.frame("hello");
    const file = Buffer.alloc(1_000, 7);
    const sha256 = Sha256Hex.parse(createHash("sha256").update(file).digest("hex"));
    const resume = { step: 3, url: `${desk.url}/${sha256}`, sha256, bytes: file.length, written_for: LEASE.job };
    desk.assign(LEASE, aSpec(), resume);
    expect((await desk.frame("failed")).error).toMatchObject({ class: "retryable", code: "checkpoint_unavailable" });
    desk.store.set(`/${sha256}`, Buffer.alloc(1_000, 8));
    desk.assign(NEXT, aSpec(), resume);
    const damaged = await desk.frame("failed", ({ lease }) => lease.epoch === NEXT.epoch);
    expect(damaged.error).toMatchObject({ class: "retryable", code: "bad_checkpoint" });
    expect(damaged.error.detail).toContain("SHA-256");
    // The right bytes, but none of ours.
    desk.store.set(`/${sha256}`, file);
    const third = { job: JOB, epoch: 3 };
    desk.assign(third, aSpec(), resume);
    const foreign = await desk.frame("failed", ({ lease }) => lease.epoch === third.epoch);
    expect(foreign.error).toMatchObject({
      code: "bad_checkpoint",
      detail: expect.stringMatching(/^not_safetensors: /),
    });
  });

  test("stops at once when its lease is stale, and takes the next job", async () => {
    await desk.frame("hello");
    desk.assign(LEASE, aSpec({ prompt: "!idle=2000 a fox" }));
    await desk.frame("stage", (frame) => frame.stage === "denoise");
    desk.say({ t: "stale", lease: LEASE });
    desk.assign(NEXT, aSpec());
    await desk.frame("finished", (frame) => frame.lease.epoch === 2);
    expect(steps(LEASE)).toEqual([]);
  });

  test("drains on SIGTERM: leaves a checkpoint, refuses work, exits with 0 and leaves no process and no file but its identity", async () => {
    await desk.frame("hello");
    desk.assign(LEASE, aSpec({ prompt: "!idle=60 a fox" }));
    await desk.frame("step", (frame) => frame.done === 2);
    const engines = onLinux ? childrenOf(runner) : [];
    runner.kill("SIGTERM");
    await desk.frame("draining");
    desk.assign({ job: VideoId.parse(`video_${"f".repeat(32)}`), epoch: 1 }, aSpec());
    const [code] = await once(runner, "exit");
    expect(code).toBe(0);
    expect(await desk.frame("stopped")).toMatchObject({ why: "drain", step: (await desk.frame("checkpoint")).step });
    expect(await desk.frame("refused")).toMatchObject({ reason: "draining" });
    expect(readdirSync(dir)).toEqual(["identity.json"]);
    expect(engines.filter(isAlive)).toEqual([]);
  });

  test.runIf(onLinux)("takes its engine with it when it is killed", async () => {
    await desk.frame("hello");
    desk.assign(LEASE, aSpec({ prompt: "!idle=200 a fox" }));
    await desk.frame("step");
    const engines = childrenOf(runner);
    expect(engines.length).toBeGreaterThan(0);
    runner.kill("SIGKILL");
    await once(runner, "exit");
    await expect.poll(() => engines.filter(isAlive), { timeout: 5_000 }).toEqual([]);
  });

  test("refuses a wrong environment with every fault in one message", async () => {
    const wrong = startRunner(
      ["ftp://nowhere"],
      { CALLSHEET_DEVICES: "none", CALLSHEET_RUNNER_ID: "Not An Id" },
      "pipe",
    );
    let text = "";
    wrong.stderr?.on("data", (chunk: Buffer) => (text += chunk.toString()));
    await once(wrong, "close");
    expect(wrong.exitCode).not.toBe(0);
    for (const name of ["CONTROL_PLANE_URLS", "DEVICES", "RUNNER_ID"]) expect(text).toContain(`CALLSHEET_${name}`);
  });

  test("runs two jobs at once on a device with two slots; the crash of one does not touch the other", async () => {
    // The desk speaks to the runner that dialled last.
    await desk.frame("hello");
    const shared = startRunner([desk.url], {
      CALLSHEET_RUNNER_ID: "shared",
      CALLSHEET_RUNNER_DIR: `${dir}/2`,
      CALLSHEET_DEVICE_VRAM_GB: "80",
      CALLSHEET_DEVICE_SLOTS: "2",
    });
    await once(shared, "message");
    const { devices } = await desk.frame("hello", (frame) => frame.runner === "shared");
    expect(devices).toEqual([{ id: "cpu-0", gpu: "CPU", vram_bytes: 80e9, slots: 2 }]);
    const [left, right, third] = ["1", "2", "3"].map((n) => ({
      job: VideoId.parse(`video_${n.repeat(32)}`),
      epoch: 1,
    }));
    if (left === undefined || right === undefined || third === undefined) throw new Error("three were made");
    desk.assign(left, aSpec({ prompt: "!idle=60 a lake" }));
    await desk.frame("step", (frame) => frame.lease.job === left.job && frame.stage === "denoise");
    desk.assign(right, aSpec({ prompt: "!crash@2 a fox" }));
    desk.assign(third, aSpec());
    expect(await desk.frame("refused")).toMatchObject({ lease: third, reason: "busy" });
    expect((await desk.frame("failed")).lease).toEqual(right);
    expect(desk.heard.some((frame) => frame.t === "finished")).toBe(false);
    expect((await desk.frame("finished")).lease).toEqual(left);
    expect(steps(left)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    shared.send("stop");
    await once(shared, "exit");
  });

  test("finds the control plane that answers among the addresses it was given", async () => {
    const second = startRunner(["http://127.0.0.1:9", desk.url], {
      CALLSHEET_RUNNER_ID: "second",
      CALLSHEET_RUNNER_DIR: `${dir}/2`,
    });
    await once(second, "message");
    expect((await desk.frame("hello", (frame) => frame.runner === "second")).devices).toHaveLength(1);
    second.send("stop");
    await once(second, "exit");
    expect(second.exitCode).toBe(0);
  });
});

function startRunner(
  urls: readonly string[],
  change: Record<string, string> = {},
  stderr: "pipe" | "inherit" = "inherit",
): ChildProcess {
  return forkRunner(urls, { dir, stderr, stdout: "ignore" }, change);
}

function steps(lease: LeaseRef): number[] {
  return desk.heard.flatMap((frame) =>
    frame.t === "step" &&
    frame.stage === "denoise" &&
    frame.lease.epoch === lease.epoch &&
    frame.lease.job === lease.job
      ? [frame.done]
      : [],
  );
}
