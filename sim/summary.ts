/** All figures of one run. Everything but the two wall-clock figures and the bounds follows from the log. */
import { checkLog } from "./check-log.ts";
import type { SimResult } from "./engine.ts";
import type { LowerBounds } from "./lower-bounds.ts";
import { etaQuality } from "./metrics/eta.ts";
import type { EtaQuality } from "./metrics/eta.ts";
import { deviceUse } from "./metrics/idle.ts";
import type { DeviceUse } from "./metrics/idle.ts";
import { jain10min } from "./metrics/jain.ts";
import { jobLives } from "./metrics/job-lives.ts";
import { round } from "./metrics/percentile.ts";
import { spreadOf } from "./metrics/spread.ts";
import { waits } from "./metrics/wait.ts";
import type { Waits } from "./metrics/wait.ts";

export interface Summary extends DeviceUse {
  readonly policy: string;
  readonly jobs: number;
  readonly rejected: number;
  readonly makespan_s: number;
  readonly mean_flow_s: number;
  readonly lower_bounds: LowerBounds;
  readonly wait_s: Waits;
  /** P1 and P2. */
  readonly spread_ratio: number;
  readonly joined_spread_ratio: number;
  /** P1 over the costliest job alone, whatever the policy may skip. */
  readonly strict_spread_ratio: number;
  readonly jain_10min: number;
  readonly preemptions: number;
  readonly preemptions_per_job_max: number;
  readonly cold_loads: number;
  readonly eta: EtaQuality;
  readonly eta_error_p90: number | null;
  readonly cap_violations: number;
  readonly log_faults: readonly string[];
  /** Wall clock, so different in every run. */
  readonly decisions_per_s: number;
  readonly wall_s: number;
}

export function summarize(result: SimResult, bounds: LowerBounds, wallMs: number): Summary {
  const { log } = result;
  const lives = jobLives(log.records);
  const ended = lives.filter(({ endedMs }) => endedMs !== null);
  const flowMs = ended.reduce((sum, { endedMs, submittedMs }) => sum + ((endedMs ?? submittedMs) - submittedMs), 0);
  const spread = spreadOf(log);
  const eta = etaQuality(log.records);
  const check = checkLog(log);
  return {
    policy: log.config.policy,
    jobs: lives.length,
    rejected: log.records.filter(({ event }) => event === "rejected").length,
    makespan_s: ended.reduce((latest, { endedMs }) => Math.max(latest, endedMs ?? 0), 0) / 1_000,
    mean_flow_s: round(flowMs / Math.max(1, ended.length) / 1_000),
    lower_bounds: bounds,
    wait_s: waits(lives, log.config),
    spread_ratio: spread.spread,
    joined_spread_ratio: spread.joined,
    strict_spread_ratio: spread.strict,
    jain_10min: jain10min(log),
    ...deviceUse(log),
    preemptions: lives.reduce((sum, { preemptions }) => sum + preemptions, 0),
    preemptions_per_job_max: lives.reduce((most, { preemptions }) => Math.max(most, preemptions), 0),
    cold_loads: log.records.filter((record) => record.event === "placed" && record.cold_s > 0).length,
    eta,
    eta_error_p90: eta.error_p90,
    cap_violations: check.capViolations,
    log_faults: check.faults,
    decisions_per_s: Math.round((result.decisions * 1_000) / Math.max(0.001, result.decideWallMs)),
    wall_s: round(wallMs / 1_000),
  };
}
