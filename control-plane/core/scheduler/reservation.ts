/**
 * Reservations for heads that have waited long: nobody starves behind a stream of smaller jobs.
 *
 * Only an aged head reserves (EASY with runtime estimates, but never eagerly: reserving for every blocked head costs light
 * accounts their tail). Others backfill a reserved runner if they end before its start, or leave enough devices.
 */
import { serves } from "./cluster.ts";
import type { Cluster, RunnerState } from "./cluster.ts";
import { roomAtMs } from "./device.ts";
import type { DeviceState, Tenancy } from "./device.ts";
import type { QueuedJob } from "./event.ts";
import type { CostModel, JobClass, Shape } from "./job-class.ts";

/** Of the runners that are up; the others stay free for whoever fits. */
const RESERVED_SHARE_MAX = 0.25;
/** A job that overran its estimate is expected to end this much later, again and again. */
const OVERRUN_MS = 1_000;

export interface Reservation {
  readonly job: string;
  readonly runner: string;
  readonly shape: Shape;
  /** When its devices were expected to be free, as it was made. */
  readonly startMs: number;
}

/** What somebody else would use of a runner until `endMs`: k devices whole, or a slot of one. */
export interface Use {
  readonly k: number;
  readonly endMs: number;
  readonly seat: { readonly device: DeviceState; readonly vramBytes: number } | null;
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
  hold(job: string, runner: string, shape: Shape, startMs: number): void {
    this.drop(job);
    this.dropRunner(runner);
    const reservation = { job, runner, shape, startMs };
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
      for (const shape of jobClass.shapes) {
        if (!serves(runner, jobClass.model, shape)) continue;
        const runMs = cost.runMs(jobClass.id, runner.terms.gpu, shape.k, job.steps - job.stepsDone);
        if (runMs === null) continue;
        const startMs = freeAtMs(runner, shape, nowMs);
        const endMs = startMs + runMs;
        if (best === null || endMs < best.endMs) best = { job: job.id, runner: runner.terms.id, shape, startMs, endMs };
      }
    }
    if (best === null) return;
    this.#byRunner.set(best.runner, best);
    this.#byJob.set(best.job, best);
  }

  /** Whether `job` may use the runner so without delaying who reserved it. */
  allows(runner: RunnerState, job: string, { k, endMs, seat }: Use, nowMs: number): boolean {
    const reservation = this.#byRunner.get(runner.terms.id);
    if (reservation === undefined || reservation.job === job) return true;
    const { shape } = reservation;
    const startMs = Math.max(reservation.startMs, freeAtMs(runner, shape, nowMs));
    if (endMs <= startMs) return true;
    const ready = runner.devices.filter((device) => {
      const taken = seat?.device === device ? seat.vramBytes : null;
      return roomAtMs(device, shape, leavesAtMs, taken) <= startMs;
    }).length;
    return ready - (seat === null ? k : 0) >= shape.k;
  }
}

/** When the runner is expected to have room for the shape. */
export function freeAtMs(runner: RunnerState, shape: Shape, nowMs: number): number {
  const leavesLaterMs = (tenancy: Tenancy) => Math.max(tenancy.freeAtMs, nowMs + OVERRUN_MS);
  const times = runner.devices
    .map((device) => Math.max(nowMs, roomAtMs(device, shape, leavesLaterMs)))
    .toSorted((a, b) => a - b);
  return times[shape.k - 1] ?? Infinity;
}

function leavesAtMs(tenancy: Tenancy): number {
  return tenancy.freeAtMs;
}
