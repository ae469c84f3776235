/**
 * How the devices' time was used; a slot is its part of a device, a batch is one job. `avoidable` is idle time while a waiting job of an account below its cap fits into what
 * is free on one runner; what a policy keeps free for a reservation or a preemptor counts as avoidable too.
 */
import { Eligibility } from "./eligibility.ts";
import { isAttemptEnd } from "../log-record.ts";
import type { RunLog } from "../log-record.ts";
import { round } from "./percentile.ts";
import { RunnerUse } from "./runner-use.ts";

export interface DeviceUse {
  readonly busy_ratio: number;
  readonly avoidable_idle_ratio: number;
  readonly wasted_gpu_ratio: number;
}

export function deviceUse({ config, records }: RunLog): DeviceUse {
  const eligibility = new Eligibility(config);
  const runners = new Map(config.runners.map((runner) => [runner.id, new RunnerUse(runner, config)]));
  const total = config.runners.reduce((sum, { devices }) => sum + devices.length, 0);
  let [busy, busyMs, avoidableMs, lostS, nowMs] = [0, 0, 0, 0, 0];
  for (const record of records) {
    if (record.t_ms > nowMs) {
      busyMs += busy * (record.t_ms - nowMs);
      avoidableMs += avoidable(runners, eligibility.dispatchable) * (record.t_ms - nowMs);
      nowMs = record.t_ms;
    }
    eligibility.apply(record);
    if (record.event === "runner_lost" || record.event === "runner_back") {
      const runner = runners.get(record.runner);
      if (runner !== undefined) runner.up = record.event === "runner_back";
    }
    if (record.event !== "placed" && !isAttemptEnd(record)) continue;
    lostS += record.lost_gpu_s;
    const runner = runners.get(record.runner);
    if (runner !== undefined) busy += record.event === "placed" ? runner.take(record) : -runner.leave(record);
  }
  const capacityMs = Math.max(1, total * nowMs);
  return {
    busy_ratio: round(busyMs / capacityMs),
    avoidable_idle_ratio: Math.round((avoidableMs / capacityMs) * 1e5) / 1e5,
    wasted_gpu_ratio: Math.round((lostS * 1_000 * 1e5) / Math.max(1, busyMs)) / 1e5,
  };
}

/** Idle devices that waiting jobs could use in their narrowest gangs. */
function avoidable(runners: ReadonlyMap<string, RunnerUse>, dispatchable: ReadonlyMap<string, number>): number {
  if (dispatchable.size === 0) return 0;
  let devices = 0;
  const left = new Map(dispatchable);
  for (const runner of runners.values()) {
    if (!runner.up) continue;
    for (const { jobClass, jobs, devices: used } of runner.couldTake(left)) {
      devices += used;
      left.set(jobClass, (left.get(jobClass) ?? 0) - jobs);
    }
  }
  return devices;
}
