/** What runs now, as this leader knows it: to tell later how much of it ran, and to learn from what it took. */
import { partsOf } from "#control-plane/core/scheduler/cost-gpu.ts";
import type { SeededCostModel } from "#control-plane/core/scheduler/cost-model.ts";
import { StageClock } from "#control-plane/core/scheduler/stage-clock.ts";
import type { StageEstimate, StageTime } from "#control-plane/core/scheduler/stage-clock.ts";
import { lastStepOf } from "#control-plane/core/job.ts";
import type { JobRow } from "#control-plane/db/jobs.ts";
import { classIdOf } from "#control-plane/usecase/read-terms.ts";
import type { RunnerId, VideoId } from "#protocol/id.ts";
import type { LeaseRef, Stage } from "#protocol/runner.ts";

interface Running {
  readonly epoch: number;
  readonly fromStep: number;
  readonly runner: RunnerId;
  readonly gpu: string;
  readonly k: number;
}

/** How the work was sent by this leader; null: it was another one's. */
export type Sent = { readonly coldMs: number; readonly atMs: number } | null;

export class RunningJobs {
  readonly #costs: SeededCostModel;
  readonly #gpuOf: (runner: string) => string;
  readonly #jobs = new Map<VideoId, Running>();
  readonly #clock = new StageClock();

  constructor(costs: SeededCostModel, gpuOf: (runner: string) => string) {
    this.#costs = costs;
    this.#gpuOf = gpuOf;
  }

  get size(): number {
    return this.#jobs.size;
  }

  /** Jobs on this runner. */
  countOn(runner: string): number {
    return this.#jobs
      .values()
      .filter((job) => job.runner === runner)
      .toArray().length;
  }

  has(id: VideoId): boolean {
    return this.#jobs.has(id);
  }

  /** Where it runs, and under which epoch. */
  leaseOf(id: VideoId): { readonly runner: RunnerId; readonly lease: LeaseRef } | null {
    const running = this.#jobs.get(id);
    return running === undefined ? null : { runner: running.runner, lease: { job: id, epoch: running.epoch } };
  }

  begin(job: JobRow, sent: Sent): void {
    if (job.runnerId === null || job.devices === null) return;
    const gpu = this.#gpuOf(job.runnerId);
    const running = { epoch: job.epoch, fromStep: job.stepsDone, runner: job.runnerId, gpu, k: job.devices.length };
    this.#jobs.set(job.id, running);
    this.#clock.begin({ job: job.id, epoch: job.epoch }, this.#estimate(job, running, sent), sent?.atMs ?? null);
  }

  enter(lease: LeaseRef, stage: Stage, nowMs: number): void {
    this.#clock.enter(lease, stage, nowMs);
  }

  /** The runner says that the attempt is over: how long its stages took. */
  end(lease: LeaseRef, how: "finished" | "broken", nowMs: number): readonly StageTime[] {
    return this.#clock.end(lease, how, nowMs);
  }

  /** Of a job that runs no more: the steps of this attempt that are kept; null if it did not run as far as we know. */
  forget(job: JobRow): number | null {
    const running = this.#jobs.get(job.id);
    if (running === undefined) return null;
    this.#jobs.delete(job.id);
    for (const { stage, predictedMs, actualMs } of this.#clock.forget({ job: job.id, epoch: running.epoch })) {
      const key = { ...partsOf(running.gpu), model: job.model, k: running.k };
      this.#costs.observe({ ...key, stage, predictedMs, observedMs: actualMs });
    }
    const reached = job.state === "completed" ? lastStepOf(job) : job.stepsDone;
    return Math.max(0, reached - running.fromStep);
  }

  #estimate(job: JobRow, { gpu, k }: Running, sent: Sent): StageEstimate {
    const stages = this.#costs.stages(classIdOf(job.model, job.class), gpu, k);
    if (stages === null) return {};
    const { encodeMs, stepMs, decodeMs } = stages;
    const denoiseMs = stepMs * Math.max(1, lastStepOf(job) - job.stepsDone);
    const loadMs = sent?.coldMs ?? 0;
    return {
      load: loadMs,
      encode: encodeMs,
      denoise: denoiseMs,
      decode: decodeMs,
      run: loadMs + encodeMs + denoiseMs + decodeMs,
    };
  }
}
