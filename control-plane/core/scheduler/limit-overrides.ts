/** Thresholds that the operator set go before those of the environment. They are stored under the names of the wire. */
import type { LimitName } from "#protocol/admin-terms.ts";
import type { SchedulerLimits } from "./limits.ts";

const NAME_OF = {
  reserveAfterMs: "reserve_after_ms",
  slackMax: "slack_max",
  fullBacklogMs: "full_backlog_ms",
  preemptAfterMs: "preempt_after_ms",
  victimRanMinMs: "victim_ran_min_ms",
  victimLeftMinMs: "victim_left_min_ms",
  victimLeftMinShare: "victim_left_min_share",
  preemptionsMax: "preemptions_max",
  wasteShare: "waste_share",
  retriesPerMinute: "retries_per_minute",
  skipMs: "skip_ms",
  passedMaxMs: "passed_max_ms",
  dryRunEveryMs: "dry_run_every_ms",
  queuedGpuSecondsMax: "queued_gpu_seconds_max",
} as const satisfies Record<keyof SchedulerLimits, LimitName>;

const FIELDS = Object.keys(NAME_OF) as readonly (keyof SchedulerLimits)[];

/** By wire name; a name that no limit has (an older version's) changes nothing. */
export type LimitOverrides = ReadonlyMap<string, number>;

export function limitsWith(defaults: SchedulerLimits, overrides: LimitOverrides): SchedulerLimits {
  const set = FIELDS.flatMap((field) => {
    const value = overrides.get(NAME_OF[field]);
    return value === undefined ? [] : [[field, value] as const];
  });
  return { ...defaults, ...Object.fromEntries(set) };
}

/** As the operator sees them. */
export function limitsOnWire(limits: SchedulerLimits): Record<LimitName, number> {
  const named = FIELDS.map((field) => [NAME_OF[field], limits[field]] as const);
  return Object.fromEntries(named) as Record<LimitName, number>;
}
