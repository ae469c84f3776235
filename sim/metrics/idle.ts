/**
 * How the devices' time was used. `avoidable` is idle time while a waiting job of an account below its cap fits into what
 * is free on one runner; what a policy keeps free for a reservation or a preemptor counts as avoidable too.
 */
import { Eligibility } from "./eligibility.ts";
import { isAttemptEnd } from "../log-record.ts";
import type { LogConfig, RunLog } from "../log-record.ts";
import { round } from "./percentile.ts";

export interface DeviceUse {
  readonly busy_ratio: number;
  readonly avoidable_idle_ratio: number;
  readonly wasted_gpu_ratio: number;
}

interface RunnerUse {
  readonly devices: number;
  readonly vramGb: number;
  free: number;
  up: boolean;
}

export function deviceUse({ config, records }: RunLog): DeviceUse {
  const eligibility = new Eligibility(config);
  const runners = new Map(
    config.runners.map(({ id, vram_gb: vramGb, devices }): [string, RunnerUse] => [
      id,
      { devices: devices.length, vramGb, free: devices.length, up: true },
    ]),
  );
  const total = config.runners.reduce((sum, { devices }) => sum + devices.length, 0);
  let [busy, busyMs, avoidableMs, lostS, nowMs] = [0, 0, 0, 0, 0];
  for (const record of records) {
    if (record.t_ms > nowMs) {
      busyMs += busy * (record.t_ms - nowMs);
      avoidableMs += avoidable(config, runners, eligibility.dispatchable) * (record.t_ms - nowMs);
      nowMs = record.t_ms;
    }
    eligibility.apply(record);
    if (record.event === "runner_lost" || record.event === "runner_back") {
      const runner = runners.get(record.runner);
      if (runner !== undefined) runner.up = record.event === "runner_back";
    }
    if (record.event !== "placed" && !isAttemptEnd(record)) continue;
    const taken = record.event === "placed" ? record.devices.length : -record.devices.length;
    busy += taken;
    lostS += record.lost_gpu_s;
    const runner = runners.get(record.runner);
    if (runner !== undefined) runner.free -= taken;
  }
  const capacityMs = Math.max(1, total * nowMs);
  return {
    busy_ratio: round(busyMs / capacityMs),
    avoidable_idle_ratio: Math.round((avoidableMs / capacityMs) * 1e5) / 1e5,
    wasted_gpu_ratio: Math.round((lostS * 1_000 * 1e5) / Math.max(1, busyMs)) / 1e5,
  };
}

/** Idle devices that waiting jobs could use in their narrowest gangs. */
function avoidable(
  config: LogConfig,
  runners: ReadonlyMap<string, RunnerUse>,
  dispatchable: ReadonlyMap<string, number>,
): number {
  if (dispatchable.size === 0) return 0;
  let devices = 0;
  const left = new Map(dispatchable);
  for (const runner of runners.values()) {
    let free = runner.up ? runner.free : 0;
    for (const [jobClass, jobs] of left) {
      if (free === 0) break;
      const ks = (config.classes[jobClass] ?? []).filter(({ vram_gb: gb }) => gb <= runner.vramGb).map(({ k }) => k);
      const k = Math.min(...ks);
      const fitting = Math.min(jobs, Math.floor(free / k));
      if (fitting === 0 || !Number.isFinite(k)) continue;
      free -= fitting * k;
      devices += fitting * k;
      left.set(jobClass, jobs - fitting);
    }
  }
  return devices;
}
