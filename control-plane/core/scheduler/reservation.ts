/**
 * Reservations for heads that have waited long: nobody starves behind a stream of smaller jobs.
 *
 * Only an aged head reserves (EASY with runtime estimates, but never eagerly: reserving for every blocked head costs light
 * accounts their tail). Others backfill a reserved runner if they end before its start, or leave enough devices.
 */
import { serves } from "./cluster.ts";
import type { Cluster, RunnerState } from "./cluster.ts";
import type { QueuedJob } from "./event.ts";
import type { CostModel, JobClass } from "./job-class.ts";

/** Of the runners that are up; the others stay free for whoever fits. */
const RESERVED_SHARE_MAX = 0.25;
/** A job that overran its estimate is expected to end this much later, again and again. */
const OVERRUN_MS = 1_000;

export interface Reservation {
  readonly job: string;
  readonly runner: string;
  readonly k: number;
  /** When its devices were expected to be free, as it was made. */
  readonly startMs: number;
}

export class Reservations {
  readonly #byRunner = new Map<string, Reservation>();
  readonly #byJob = new Map<string, Reservation>();

  get size(): number {
    return this.#byJob.size;
  }

  get all(): readonly Reservation[] {
    return [...this.#byJob.values()];
  }

  has(job: string): boolean {
    return this.#byJob.has(job);
  }

  /** Whether the runner is reserved for somebody else. */
  takenBy(runner: string, job: string): boolean {
    const reservation = this.#byRunner.get(runner);
    return reservation !== undefined && reservation.job !== job;
  }

  /** Holds what an exchange frees for the one that it is made for. */
  hold(job: string, runner: string, k: number, startMs: number): void {
    this.drop(job);
    this.dropRunner(runner);
    const reservation = { job, runner, k, startMs };
    this.#byRunner.set(runner, reservation);
    this.#byJob.set(job, reservation);
  }

  drop(job: string): void {
    const reservation = this.#byJob.get(job);
    if (reservation === undefined) return;
    this.#byJob.delete(job);
    this.#byRunner.delete(reservation.runner);
  }

  dropRunner(runner: string): void {
    const reservation = this.#byRunner.get(runner);
    if (reservation !== undefined) this.drop(reservation.job);
  }

  /** The earliest end over all runners and gangs; nothing if too many runners are reserved, or none could ever do it. */
  reserve(cluster: Cluster, cost: CostModel, job: QueuedJob, jobClass: JobClass, nowMs: number): void {
    if (this.has(job.id)) return;
    const up = cluster.runners.filter((runner) => runner.up);
    if (this.size + 1 > Math.max(1, Math.floor(up.length * RESERVED_SHARE_MAX))) return;
    let best: (Reservation & { readonly endMs: number }) | null = null;
    for (const runner of up) {
      if (this.#byRunner.has(runner.terms.id)) continue;
      for (const { k, vramBytes } of jobClass.shapes) {
        if (k > runner.devices.length || !serves(runner, jobClass.model, vramBytes)) continue;
        const runMs = cost.runMs(jobClass.id, runner.terms.gpu, k, job.steps - job.stepsDone);
        if (runMs === null) continue;
        const startMs = freeAtMs(runner, k, nowMs);
        const endMs = startMs + runMs;
        if (best === null || endMs < best.endMs) best = { job: job.id, runner: runner.terms.id, k, startMs, endMs };
      }
    }
    if (best === null) return;
    this.#byRunner.set(best.runner, best);
    this.#byJob.set(best.job, best);
  }

  /** Whether `job` may use k devices of the runner until `endMs` without delaying who reserved it. */
  allows(runner: RunnerState, job: string, k: number, endMs: number, nowMs: number): boolean {
    const reservation = this.#byRunner.get(runner.terms.id);
    if (reservation === undefined || reservation.job === job) return true;
    const startMs = Math.max(reservation.startMs, freeAtMs(runner, reservation.k, nowMs));
    if (endMs <= startMs) return true;
    const freeAtStart = runner.devices.filter((device) => device.job === null || device.freeAtMs <= startMs).length;
    return freeAtStart - k >= reservation.k;
  }
}

/** When k devices of the runner are expected to be free together. */
export function freeAtMs(runner: RunnerState, k: number, nowMs: number): number {
  const times = runner.devices
    .map((device) => (device.job === null ? nowMs : Math.max(device.freeAtMs, nowMs + OVERRUN_MS)))
    .toSorted((a, b) => a - b);
  return times[k - 1] ?? Infinity;
}
