/** What breaks a GPU in the eyes of its runner: the driver's readings, its silence, and the kernel's messages. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { expect, onTestFinished, test } from "vitest";
import { xidIn, XIDS } from "#gpu-runner/core/gpu-health.ts";
import { readXids, watchGpus } from "#gpu-runner/gpu/gpu-watch.ts";
import { DeviceId } from "#protocol/id.ts";
import type { DeviceTelemetry, RunError } from "#protocol/runner.ts";
import { until } from "#tests/support/product.ts";
import { FakeDriver, FIRST, SECOND } from "./fake-driver.ts";

const WAIT_MS = 20_000;
const DEVICES = [
  { id: DeviceId.parse("gpu-0"), bus: "00000000:3B:00.0" },
  { id: DeviceId.parse("gpu-1"), bus: "00000000:5E:00.0" },
];
const QUIET = "exec sleep 600";

interface Seen {
  readonly told: (readonly DeviceTelemetry[])[];
  readonly broke: (readonly [readonly DeviceId[], RunError["class"], string])[];
}

function watch(): Seen {
  const seen: Seen = { told: [], broke: [] };
  const stop = new AbortController();
  const over = watchGpus({
    devices: DEVICES,
    xids: XIDS,
    log: pino({ level: "silent" }),
    signal: stop.signal,
    pollMs: 5,
    told: (telemetry) => seen.told.push(telemetry),
    broke: (devices, error) => (seen.broke as unknown[]).push([devices, error.class, error.code]),
  });
  onTestFinished(async () => {
    stop.abort();
    await over;
  });
  return seen;
}

test("readings are told as they come, and what a GPU does not tell is null", async () => {
  const driver = await FakeDriver.install();
  await driver.program("dmesg", QUIET);
  await driver.smi(FIRST, SECOND);
  const seen = watch();
  const [[first, second] = []] = await until("a reading", WAIT_MS, async () => seen.told.length > 0 && seen.told);
  const used = 1024 ** 3;
  expect(first).toEqual({
    id: "gpu-0",
    utilization: 97,
    memory_used_bytes: used,
    temperature_c: 61,
    power_w: 512.3,
    ecc_errors: 0,
  });
  expect(second).toMatchObject({ id: "gpu-1", ecc_errors: null });
  expect(seen.broke).toEqual([]);
});

test("a GPU that is no longer listed, or counts another memory error, is broken, and the other is not", async () => {
  const driver = await FakeDriver.install();
  await driver.program("dmesg", QUIET);
  await driver.smi(FIRST, SECOND);
  const seen = watch();
  await until("a reading", WAIT_MS, async () => seen.told.length > 0);
  await driver.smi(FIRST.replace(", 0, Disabled", ", 2, Disabled"));
  await until("both are told", WAIT_MS, async () => seen.broke.length > 1);
  expect(seen.broke.toSorted(([a], [b]) => String(a).localeCompare(String(b)))).toEqual([
    [["gpu-0"], "gpu_fatal", "ecc_errors"],
    [["gpu-1"], "gpu_fatal", "gpu_gone"],
  ]);
});

test("a driver that answers no more takes all devices, but one failure does not", async () => {
  const driver = await FakeDriver.install();
  await driver.program("dmesg", QUIET);
  await driver.smi(FIRST, SECOND);
  const seen = watch();
  await until("a reading", WAIT_MS, async () => seen.told.length > 0);
  await driver.program("nvidia-smi", "exit 15");
  await until("it is told", WAIT_MS, async () => seen.broke.length > 0);
  expect(seen.broke).toEqual([[["gpu-0", "gpu-1"], "host_fatal", "driver_silent"]]);
});

test("messages of the kernel: a program's own fault is none of ours, a GPU's takes it, a lost bus takes the host", async () => {
  const driver = await FakeDriver.install();
  await driver.smi(FIRST, SECOND);
  const say = (bus: string, xid: number) => `echo '[ 12.5] NVRM: Xid (PCI:${bus}): ${xid}, pid=7, name=python'`;
  await driver.program(
    "dmesg",
    [say("0000:3b:00", 31), say("0000:5e:00", 48), say("0000:99:00", 48), say("0000:3b:00", 79), QUIET].join("\n"),
  );
  const seen = watch();
  await until("two are told", WAIT_MS, async () => seen.broke.length > 1);
  expect(seen.broke).toEqual([
    [["gpu-1"], "gpu_fatal", "xid_48"],
    [["gpu-0", "gpu-1"], "host_fatal", "xid_79"],
  ]);
});

test("a line that is no Xid is none, and the operator's file has the last word", async () => {
  expect(xidIn("NVRM: GPU at PCI:0000:3b:00: GPU-1c2d")).toBeNull();
  expect(xidIn("[1.0] NVRM: Xid (PCI:0000:3b:00.0): 79, GPU has fallen off the bus.")).toEqual({
    bus: "0000:3b:00.0",
    xid: 79,
  });
  const dir = await mkdtemp(join(tmpdir(), "callsheet-xids-"));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  const path = join(dir, "xids.json");
  await writeFile(path, '{"63": "gpu"}');
  expect(await readXids(path)).toMatchObject({ 63: "gpu", 79: "host" });
  await writeFile(path, '{"63": "drain"}');
  await expect(readXids(path)).rejects.toThrow("63");
});
