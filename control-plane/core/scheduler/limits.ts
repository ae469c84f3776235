/** The thresholds of the scheduler, in one place and with their units. */
export interface SchedulerLimits {
  /** A blocked head reserves devices once it has waited this long. */
  readonly reserveAfterMs: number;
  /** Backlog per device from which on no runner makes gangs as wide as this (`gang-width.ts`). */
  readonly width2BacklogMs: number;
  readonly width4BacklogMs: number;
  readonly width8BacklogMs: number;
  /** GPU time at weight 1 by which a job that ends sooner may go before its turn. */
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
}

export const PRODUCTION_LIMITS: SchedulerLimits = {
  reserveAfterMs: 600_000,
  width2BacklogMs: 3_000_000,
  width4BacklogMs: 1_000_000,
  width8BacklogMs: 50_000,
  skipMs: 1_000_000,
  passedMaxMs: 120_000,
  preemptAfterMs: 60_000,
  victimRanMinMs: 120_000,
  victimLeftMinMs: 60_000,
  victimLeftMinShare: 0.2,
  preemptionsMax: 2,
  wasteShare: 0.03,
};

/** For one machine and videos of seconds: what takes minutes in production is seen at once. */
export const DEVELOPMENT_LIMITS: SchedulerLimits = {
  ...PRODUCTION_LIMITS,
  reserveAfterMs: 10_000,
  preemptAfterMs: 1_000,
  victimRanMinMs: 1_000,
  victimLeftMinMs: 1_000,
  skipMs: 2_000,
  passedMaxMs: 2_000,
};
