/** The thresholds of the scheduler, in one place and with their units. */
export interface SchedulerLimits {
  /** A blocked head reserves devices once it has waited this long. */
  readonly reserveAfterMs: number;
  /** GPU time that an idle cluster may waste to be fast; falls to 0 as the backlog grows. */
  readonly slackMax: number;
  /** Backlog per device at which gangs are as narrow as can be. */
  readonly fullBacklogMs: number;
  /** GPU time at weight 1 by which an account may be ahead of the next in turn and still go first, if its job ends sooner; 0: never. */
  readonly skipMs: number;
  /** A job whose turn it is lets others go first for at most this long. */
  readonly passedMaxMs: number;
  /** A blocked head may preempt once it has waited this long. */
  readonly preemptAfterMs: number;
  /** A victim has run at least this long, and has at least this much, and this share of its estimate, before it. */
  readonly victimRanMinMs: number;
  readonly victimLeftMinMs: number;
  readonly victimLeftMinShare: number;
  readonly preemptionsMax: number;
  /** GPU time that preemption may waste, as a share of all GPU time: a bucket of one hour's worth that starts full. */
  readonly wasteShare: number;
  /** Attempts that may break in a minute before their retries are spread; more, where much is dispatched. */
  readonly retriesPerMinute: number;
  /** Quotes come from a dry run that is at most this old. */
  readonly dryRunEveryMs: number;
  /** Fair charge that may wait in all; beyond it nobody's video is admitted. The lever for a spike that tiers do not stop. */
  readonly queuedGpuSecondsMax: number;
}

export const PRODUCTION_LIMITS: SchedulerLimits = {
  reserveAfterMs: 600_000,
  slackMax: 1,
  fullBacklogMs: 1_000_000,
  skipMs: 1_000_000,
  passedMaxMs: 1_200_000,
  preemptAfterMs: 60_000,
  victimRanMinMs: 120_000,
  victimLeftMinMs: 60_000,
  victimLeftMinShare: 0.2,
  preemptionsMax: 2,
  wasteShare: 0.03,
  retriesPerMinute: 10,
  dryRunEveryMs: 1_000,
  // A day of a thousand GPUs: a video that waits longer meets its deadline.
  queuedGpuSecondsMax: 86_400_000,
};

/** Share of GPU time that a gang may waste for speed: less and less as the work that could run now piles up. */
export function gangSlack(
  limits: Pick<SchedulerLimits, "slackMax" | "fullBacklogMs">,
  runnableMs: number,
  devices: number,
): number {
  if (devices === 0) return 0;
  return limits.slackMax * Math.max(0, 1 - runnableMs / devices / limits.fullBacklogMs);
}

/** For one machine and videos of seconds: what takes minutes in production is seen at once. */
export const DEVELOPMENT_LIMITS: SchedulerLimits = {
  ...PRODUCTION_LIMITS,
  reserveAfterMs: 10_000,
  preemptAfterMs: 1_000,
  victimRanMinMs: 1_000,
  victimLeftMinMs: 1_000,
  dryRunEveryMs: 250,
  skipMs: 2_000,
  passedMaxMs: 2_000,
};
