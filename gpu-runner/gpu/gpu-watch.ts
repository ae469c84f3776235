/**
 * Looks at a host's GPUs every few seconds, and listens to what the kernel says of them. Readings go to the control plane; a GPU
 * that breaks is told once.
 */
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import type { Logger } from "pino";
import { z } from "zod";
import type { DeviceId } from "#protocol/id.ts";
import { type DeviceTelemetry, type RunError, TELEMETRY_MS } from "#protocol/runner.ts";
import { type Broken, brokenBy, worsened, xidIn, XIDS, type XidTable } from "../core/gpu-health.ts";
import { reasonOf } from "../storage-fault.ts";
import { type GpuReading, readGpus } from "./nvidia-smi.ts";

/** One that did not answer may have been busy; a driver that hangs stays so. */
const SILENT_MAX = 2;

export interface WatchedDevice {
  readonly id: DeviceId;
  readonly bus: string;
}

export interface GpuWatchHost {
  readonly devices: readonly WatchedDevice[];
  readonly xids: XidTable;
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly pollMs?: number;
  readonly told: (telemetry: readonly DeviceTelemetry[]) => void;
  readonly broke: (devices: readonly DeviceId[], error: RunError) => void;
}

const XidFile = z.record(z.string().regex(/^\d{1,4}$/), z.enum(["ignore", "engine", "gpu", "host"]));

/** Ours, with what the operator's file says instead: `{"63": "gpu"}`. */
export async function readXids(path: string | null): Promise<XidTable> {
  if (path === null) return XIDS;
  const read = XidFile.safeParse(JSON.parse(await readFile(path, "utf8")));
  if (!read.success) throw new Error(`the file of Xids ${path} is wrong:\n${z.prettifyError(read.error)}`);
  return { ...XIDS, ...read.data };
}

export async function watchGpus(host: GpuWatchHost): Promise<void> {
  await Promise.all([followReadings(host), followKernel(host)]);
}

async function followReadings(host: GpuWatchHost): Promise<void> {
  let before: readonly GpuReading[] = [];
  let silent = 0;
  while (!host.signal.aborted) {
    try {
      const now = (await readGpus()) ?? [];
      silent = 0;
      for (const broken of worsened(before.filter(isOurs(host)), now)) tell(host, broken);
      before = now;
      host.told(
        host.devices.flatMap(({ id, bus }) => now.filter((gpu) => gpu.bus === bus).map((gpu) => telemetryOf(id, gpu))),
      );
    } catch (fault) {
      silent++;
      host.log.warn({ err: fault }, "the GPUs could not be looked at");
      if (silent === SILENT_MAX) tell(host, { bus: null, code: "driver_silent", detail: reasonOf(fault) });
    }
    await pause(host.pollMs ?? TELEMETRY_MS, undefined, { signal: host.signal, ref: false }).catch(() => undefined);
  }
}

function isOurs({ devices }: GpuWatchHost): (gpu: GpuReading) => boolean {
  return ({ bus }) => devices.some((device) => device.bus === bus);
}

/** New messages only: what was before we came has been repaired, or shows in the readings. */
async function followKernel(host: GpuWatchHost): Promise<void> {
  const child = spawn("dmesg", ["--follow-new"], { stdio: ["ignore", "pipe", "ignore"] });
  const stop = () => child.kill("SIGKILL");
  host.signal.addEventListener("abort", stop, { once: true });
  const ended = new Promise<void>((resolve) => {
    child.once("error", () => resolve());
    child.once("exit", () => resolve());
  });
  createInterface({ input: child.stdout }).on("line", (line) => {
    const xid = xidIn(line);
    if (xid === null) return;
    host.log.warn({ reason: line.slice(0, 200) }, "the driver reports a fault");
    const broken = brokenBy(
      xid,
      host.devices.map(({ bus }) => bus),
      host.xids,
    );
    if (broken !== null) tell(host, broken);
  });
  await ended;
  if (!host.signal.aborted) host.log.info({}, "messages of the kernel cannot be read: Xids are not heard of");
}

function tell(host: GpuWatchHost, { bus, code, detail }: Broken): void {
  const devices = host.devices.filter((device) => bus === null || device.bus === bus).map(({ id }) => id);
  host.log.error({ devices, code, reason: detail }, "a GPU is broken");
  host.broke(devices, { class: bus === null ? "host_fatal" : "gpu_fatal", code, detail });
}

function telemetryOf(id: DeviceId, gpu: GpuReading): DeviceTelemetry {
  return {
    id,
    utilization: gpu.utilization,
    memory_used_bytes: gpu.usedBytes,
    temperature_c: gpu.celsius,
    power_w: gpu.watts,
    ecc_errors: gpu.eccErrors,
  };
}
