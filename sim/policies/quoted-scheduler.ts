/**
 * The scheduler with quotes as the control plane gives them: from a dry run over all who wait. The control plane dry-runs
 * every second; here it is once a minute of virtual time, so a job has no quote in its first moments.
 */
import type { Decision, Policy, SchedulerEvent } from "#control-plane/core/scheduler/event.ts";
import type { Explained } from "#control-plane/core/scheduler/explain.ts";
import type { Scheduler } from "#control-plane/core/scheduler/scheduler.ts";

const DRY_RUN_EVERY_MS = 60_000;

export class QuotedScheduler implements Policy {
  readonly name: string;
  readonly #scheduler: Scheduler;
  #explained: ReadonlyMap<string, Explained> = new Map();
  #explainedAtMs = -Infinity;

  constructor(scheduler: Scheduler) {
    this.name = scheduler.name;
    this.#scheduler = scheduler;
  }

  apply(event: SchedulerEvent, nowMs: number): void {
    this.#scheduler.apply(event, nowMs);
  }

  decide(nowMs: number, limit: number): readonly Decision[] {
    return this.#scheduler.decide(nowMs, limit);
  }

  nextWakeMs(): number | null {
    return this.#scheduler.nextWakeMs();
  }

  quote(job: string, nowMs: number): ReturnType<Policy["quote"]> {
    if (nowMs - this.#explainedAtMs >= DRY_RUN_EVERY_MS) {
      this.#explained = this.#scheduler.explain(nowMs);
      this.#explainedAtMs = nowMs;
    }
    const eta = this.#explained.get(job)?.eta ?? null;
    if (eta === null) return null;
    const ageMs = nowMs - this.#explainedAtMs;
    return { p50Ms: Math.max(0, eta.startP50Ms - ageMs), p90Ms: Math.max(0, eta.startP90Ms - ageMs) };
  }
}
