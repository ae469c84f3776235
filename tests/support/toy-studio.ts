/** A scheduler with made-up classes whose costs are easy to compute by hand: one step costs one second of one GPU. */
import type { QueuedJob, RunnerTerms, TierTerms } from "#control-plane/core/scheduler/event.ts";
import type { CostModel, JobClass } from "#control-plane/core/scheduler/job-class.ts";
import { Scheduler } from "#control-plane/core/scheduler/scheduler.ts";
import { PRODUCTION_LIMITS } from "#control-plane/core/scheduler/limits.ts";
import type { SchedulerLimits } from "#control-plane/core/scheduler/limits.ts";

export const STEP_MS = 1_000;
const GIB = 2 ** 30;

/** `small` runs on one device, `wide` on one to eight (each doubling wastes a tenth), `gang` on eight only. */
export const CLASSES: readonly JobClass[] = [
  { id: "small", model: "m", shapes: [{ k: 1, vramBytes: 10 * GIB }], resume: "exact", batchMax: 1 },
  {
    id: "wide",
    model: "m",
    shapes: [1, 2, 4, 8].map((k) => ({ k, vramBytes: 40 * GIB })),
    resume: "exact",
    batchMax: 1,
  },
  { id: "gang", model: "m", shapes: [{ k: 8, vramBytes: 60 * GIB }], resume: "exact", batchMax: 1 },
];

export const TOY_COST: CostModel = {
  runMs: (_class, _gpu, k, steps) => Math.ceil((steps * STEP_MS * (1 + 0.1 * Math.log2(k))) / k),
  loadMs: () => 0,
  chargeMs: (classId, steps) => (classId === "gang" ? Math.ceil(steps * STEP_MS * 1.3) : steps * STEP_MS),
};

export const TIERS: readonly TierTerms[] = [
  { tier: "free", weight: 1, shareMin: 1, shareMax: 100, accountRunningMax: 1, tierRunningMax: 1_000 },
  { tier: "plus", weight: 4, shareMin: 1, shareMax: 100, accountRunningMax: 3, tierRunningMax: 1_000 },
  { tier: "pro", weight: 10, shareMin: 1, shareMax: 100, accountRunningMax: 10, tierRunningMax: 1_000 },
];

export function aScheduler(
  runners: readonly number[],
  accounts: Readonly<Record<string, string>>,
  limits: Partial<SchedulerLimits> = {},
): Scheduler {
  const scheduler = new Scheduler(TOY_COST, { ...PRODUCTION_LIMITS, ...limits });
  for (const jobClass of CLASSES) scheduler.apply({ t: "class", class: jobClass }, 0);
  for (const terms of TIERS) scheduler.apply({ t: "tier", terms }, 0);
  for (const [account, tier] of Object.entries(accounts)) scheduler.apply({ t: "account", account, tier }, 0);
  runners.forEach((count, n) => {
    scheduler.apply({ t: "runner_up", runner: aRunner(n, count) }, 0);
  });
  return scheduler;
}

/** Devices of 80 GiB, named after the runner's number. */
export function aRunner(n: number, devices: number, { slots = 1, vramBytes = 80 * GIB } = {}): RunnerTerms {
  const ids = Array.from({ length: devices }, (_, device) => `${n}.${device}`);
  return { id: `runner-${n}`, gpu: "toy", devices: ids.map((id) => ({ id, vramBytes, slots })) };
}

export function aQueuedJob(seq: number, account: string, more: Partial<QueuedJob> = {}): QueuedJob {
  return {
    id: `job-${String(seq).padStart(6, "0")}`,
    account,
    class: "small",
    weights: "w",
    steps: 10,
    stepsDone: 0,
    seq,
    submittedAtMs: 0,
    notBeforeMs: 0,
    preemptions: 0,
    avoid: null,
    ...more,
  };
}
