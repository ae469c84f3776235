/** Real runner processes that were stopped beyond their lease, or that drain: what they say and do when they wake. */
import { once } from "node:events";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { VideoId } from "#protocol/id.ts";
import type { FromRunner, LeaseRef } from "#protocol/runner.ts";
import { leaseName } from "#protocol/runner.ts";
import { Desk } from "./desk.ts";
import { aSpec, JOB } from "./reference-job.ts";
import { aRunner, childrenOf, isAlive } from "./runner-program.ts";

const LEASE: LeaseRef = { job: JOB, epoch: 1 };
const NEXT: LeaseRef = { job: JOB, epoch: 2 };
const LEASE_MS = 1_500;
const WAKE_MS_MAX = 1_000;

let desk: Desk;

beforeEach(async () => {
  desk = new Desk();
  desk.leaseMs = LEASE_MS;
  desk.heartbeatMs = 300;
  await desk.open();
});

afterEach(() => desk.close());

describe.runIf(process.platform === "linux")("a runner that was stopped beyond its lease", () => {
  test("says nothing about it when it wakes, ends its engine within a second, and takes the next job", async () => {
    const runner = await aRunner([desk.url]);
    await desk.frame("hello");
    desk.assign(LEASE, aSpec({ prompt: "!idle=25 a fox", steps: 400 }));
    await desk.frame("step");
    const engines = childrenOf(runner);
    const said = await sleepThrough(runner.pid as number, LEASE_MS + 500);
    const wokeMs = performance.now();
    await expect.poll(() => engines.filter(isAlive), { timeout: 5_000, interval: 10 }).toEqual([]);
    expect(performance.now() - wokeMs).toBeLessThan(WAKE_MS_MAX);
    desk.assign(NEXT, aSpec());
    await desk.frame("finished", ({ lease }) => lease.epoch === NEXT.epoch);
    expect(desk.heard.slice(said).filter((frame) => names(frame, LEASE))).toEqual([]);
  });

  test("cuts the upload that was on its way, and begins none", async () => {
    desk.answerPut = "never";
    const runner = await aRunner([desk.url]);
    await desk.frame("hello");
    desk.assign(LEASE, aSpec());
    await desk.until(() => desk.puts.begun === 1);
    const said = await sleepThrough(runner.pid as number, LEASE_MS + 500);
    const wokeMs = performance.now();
    await desk.until(() => desk.puts.cut === 1);
    expect(performance.now() - wokeMs).toBeLessThan(WAKE_MS_MAX);
    desk.answerPut = "rightly";
    desk.assign(NEXT, aSpec());
    await desk.frame("finished", ({ lease }) => lease.epoch === NEXT.epoch);
    expect(desk.puts.begun).toBe(2);
    expect(desk.heard.slice(said).filter((frame) => names(frame, LEASE))).toEqual([]);
  });

  test("goes on with the same attempt if it wakes before", async () => {
    desk.leaseMs = 15_000;
    const runner = await aRunner([desk.url]);
    await desk.frame("hello");
    desk.assign(LEASE, aSpec({ prompt: "!idle=25 a fox", steps: 40 }));
    await desk.frame("step");
    await sleepThrough(runner.pid as number, 1_000);
    expect((await desk.frame("finished")).lease).toEqual(LEASE);
  });
});

describe("a runner that drains", () => {
  test("beats until its last lease ended", async () => {
    const runner = await aRunner([desk.url]);
    await desk.frame("hello");
    // One long step: the engine stops only at its end, long after the lease would have run out unrenewed.
    desk.assign(LEASE, aSpec({ prompt: "!idle=4000 a fox" }));
    await desk.frame("stage", ({ stage }) => stage === "denoise");
    runner.kill("SIGTERM");
    await desk.frame("draining");
    const drainedAt = desk.heard.findIndex(({ t }) => t === "draining");
    const [code] = await once(runner, "exit");
    expect(code).toBe(0);
    const after = desk.heard.slice(drainedAt);
    const stoppedAt = after.findIndex(({ t }) => t === "stopped");
    expect(stoppedAt).toBeGreaterThan(0);
    const beats = after.slice(0, stoppedAt).filter((frame) => frame.t === "heartbeat");
    expect(beats.length).toBeGreaterThan(LEASE_MS / desk.heartbeatMs);
    for (const beat of beats) expect(beat).toMatchObject({ leases: [LEASE] });
  });

  test("beats for a lease whose video is still being uploaded", async () => {
    desk.answerPut = "never";
    const runner = await aRunner([desk.url]);
    await desk.frame("hello");
    desk.assign({ job: VideoId.parse(`video_${"f".repeat(32)}`), epoch: 1 }, aSpec());
    await desk.until(() => desk.puts.begun === 1);
    runner.kill("SIGTERM");
    await desk.frame("draining");
    const drainedAt = desk.heard.findIndex(({ t }) => t === "draining");
    const beats = () =>
      desk.heard.slice(drainedAt).filter((frame) => frame.t === "heartbeat" && frame.leases.length > 0);
    await desk.until(() => beats().length > LEASE_MS / desk.heartbeatMs);
    expect(runner.exitCode).toBeNull();
  });
});

/** Stops the process for so long; returns how many frames were heard when it was woken. */
async function sleepThrough(pid: number, ms: number): Promise<number> {
  process.kill(pid, "SIGSTOP");
  await new Promise((resolve) => setTimeout(resolve, ms));
  const said = desk.heard.length;
  process.kill(pid, "SIGCONT");
  return said;
}

function names(frame: FromRunner, lease: LeaseRef): boolean {
  const named = "lease" in frame ? [frame.lease] : "leases" in frame ? frame.leases : [];
  return named.some((one) => leaseName(one) === leaseName(lease));
}
