/**
 * What goes into the scheduler and what comes out. Facts in, decisions out; ids are opaque text, compared bytewise.
 *
 * A decision is *pending* until its `committed` or `refused` comes back: only then did it happen.
 */
import type { CostModel, JobClass } from "./job-class.ts";
import type { SchedulerLimits } from "./limits.ts";

export interface TierTerms {
  readonly tier: string;
  /** Weight of each of its accounts. */
  readonly weight: number;
  /** The tier's share is the sum of its active accounts' weights, clamped to this. */
  readonly shareMin: number;
  readonly shareMax: number;
  /** Running jobs of one account, and of the whole tier. */
  readonly accountRunningMax: number;
  readonly tierRunningMax: number;
}

/** Virtual time of a tier, in tag units: its own tag, and the start tag of the account it dispatched last. */
export interface TierClock {
  readonly tier: string;
  readonly tag: number;
  readonly virtual: number;
}

/** What a new leader must know so that heavy accounts are not forgiven; stored with every dispatch. */
export interface FairClock {
  readonly accounts: readonly { readonly account: string; readonly tag: number }[];
  readonly tiers: readonly TierClock[];
}

export interface QueuedJob {
  readonly id: string;
  readonly account: string;
  readonly class: string;
  /** The fine-tune that must be resident; equal text means that nothing is loaded between two jobs. */
  readonly weights: string;
  readonly steps: number;
  /** Steps kept by a checkpoint. */
  readonly stepsDone: number;
  /** Order of arrival over all accounts; kept over preemption and retry. */
  readonly seq: number;
  readonly submittedAtMs: number;
  readonly notBeforeMs: number;
  readonly preemptions: number;
  /** A runner to keep away from if another can do it. */
  readonly avoid: string | null;
}

/** The fair charge of what is left to do, alone or as one of a batch; a job that waits always has a step left. */
export function remainingChargeMs(cost: CostModel, job: QueuedJob, batch = 1): number {
  return cost.chargeMs(job.class, Math.max(1, job.steps - job.stepsDone), batch);
}

export interface RunnerTerms {
  readonly id: string;
  /** As the cost model knows it; may carry the build of its engine (`withBuild`). */
  readonly gpu: string;
  /** Gangs never leave a runner. Up to `slots` single-device jobs share a device, as far as its memory goes. */
  readonly devices: readonly { readonly id: string; readonly vramBytes: number; readonly slots: number }[];
  /** What its engine can load; everything, if absent. */
  readonly models?: readonly string[];
  /** What it stops can go on with the same bits; yes, if absent. Nobody is pushed aside where it would lose its work. */
  readonly keeps?: boolean;
}

export type SchedulerEvent =
  /** Thresholds from now on. */
  | { readonly t: "limits"; readonly limits: SchedulerLimits }
  | { readonly t: "tier"; readonly terms: TierTerms }
  | { readonly t: "class"; readonly class: JobClass }
  /** `tag`: where the account stood under the last leader. */
  | { readonly t: "account"; readonly account: string; readonly tier: string; readonly tag?: number }
  /** Where a tier stood under the last leader; before its accounts. */
  | { readonly t: "tier_clock"; readonly clock: TierClock }
  | { readonly t: "runner_up"; readonly runner: RunnerTerms }
  /** No new work goes there; what it runs is reported by `ended` or `requeued`. */
  | { readonly t: "runner_down"; readonly runner: string }
  | { readonly t: "queued"; readonly job: QueuedJob }
  /** Met at takeover: a job that already holds devices. It was charged by another leader. */
  | {
      readonly t: "running";
      readonly job: QueuedJob;
      readonly runner: string;
      readonly devices: readonly string[];
      readonly slot: number | null;
    }
  /** A running job has done this many of its steps: its end is estimated anew from its own pace. */
  | { readonly t: "progress"; readonly job: string; readonly stepsDone: number }
  /** Cancelled or failed while it waited. */
  | { readonly t: "withdrawn"; readonly job: string }
  /** A running job ended for good; `stepsRun` of this attempt count, the rest of the charge is given back. */
  | { readonly t: "ended"; readonly job: string; readonly stepsRun: number }
  /** A running job waits again (preempted, lost): `job` is what is left to do. */
  | { readonly t: "requeued"; readonly job: QueuedJob; readonly stepsRun: number }
  | { readonly t: "committed"; readonly job: string }
  | { readonly t: "refused"; readonly job: string };

export interface Place {
  readonly t: "place";
  readonly job: QueuedJob;
  readonly runner: string;
  readonly devices: readonly string[];
  readonly k: number;
  /** Its slot of the one device; null: the devices are taken whole. */
  readonly slot: number | null;
  /** The first job of those that run together on the same devices; null for a job alone. */
  readonly batch: string | null;
  /** Memory it takes on each device. */
  readonly vramBytes: number;
  /** Loading of weights that this placement causes, and the estimated wall time in all. */
  readonly coldMs: number;
  readonly estimateMs: number;
}

/** Asks for a running job to stop at its next step boundary; its devices are held for `for`. */
export interface Preempt {
  readonly t: "preempt";
  readonly job: string;
  readonly for: string;
}

export type Decision = Place | Preempt;

/** The scheduler, and every baseline it is compared with. */
export interface Policy {
  readonly name: string;
  /** GPU time at weight 1 by which it may serve an account before its turn. */
  readonly skipMs?: number;
  apply(event: SchedulerEvent, nowMs: number): void;
  /** Decides as much as fits now, at most `limit`; the same state gives the same answer. */
  decide(nowMs: number, limit: number): readonly Decision[];
  /** When time alone may change a decision (a backoff ends, a head grows old); null if only events can. */
  nextWakeMs(nowMs: number): number | null;
  /** Start in milliseconds from now for a waiting job; null where the policy does not quote. */
  quote(job: string, nowMs: number): { readonly p50Ms: number; readonly p90Ms: number } | null;
}
