/**
 * When the attempts of this leader entered their stages, beside what each stage was estimated to take.
 *
 * An attempt is known from its dispatch, or from takeover on, until it is forgotten. Only a stage that was seen whole counts:
 * one under way at takeover, or cut short, says nothing. A stage reported again (a redial) and one out of order change nothing.
 */
import { leaseName } from "#protocol/runner.ts";
import type { LeaseRef, Stage } from "#protocol/runner.ts";
import { COST_STAGES } from "./cost-correction.ts";
import type { CostStage } from "./cost-correction.ts";

/** Milliseconds estimated for each stage, without correction; a stage that is missing was estimated to take none. */
export type StageEstimate = Readonly<Partial<Record<CostStage, number>>>;

export interface StageTime {
  readonly stage: CostStage;
  readonly predictedMs: number;
  readonly actualMs: number;
}

interface Timeline {
  readonly estimate: StageEstimate;
  /** Null where the dispatch was another leader's. */
  readonly sinceMs: number | null;
  stage: Stage | null;
  /** Null where nobody here saw it begin. */
  enteredMs: number | null;
  readonly times: StageTime[];
  ended: boolean;
}

export class StageClock {
  readonly #attempts = new Map<string, Timeline>();

  /** `sinceMs`: when the work was sent; null for an attempt met at takeover. */
  begin(lease: LeaseRef, estimate: StageEstimate, sinceMs: number | null): void {
    this.#attempts.set(leaseName(lease), {
      estimate,
      sinceMs,
      stage: null,
      enteredMs: null,
      times: [],
      ended: false,
    });
  }

  enter(lease: LeaseRef, stage: Stage, nowMs: number): void {
    const attempt = this.#attempts.get(leaseName(lease));
    if (attempt === undefined || attempt.ended || rank(stage) <= rank(attempt.stage)) return;
    // After a takeover the runner repeats the stage it is in: when that one began is not known.
    const seen = attempt.sinceMs !== null || attempt.stage !== null;
    close(attempt, nowMs);
    attempt.stage = stage;
    attempt.enteredMs = seen ? nowMs : null;
  }

  /** The attempt is over: its stages. Asked again it answers the same. */
  end(lease: LeaseRef, how: "finished" | "broken", nowMs: number): readonly StageTime[] {
    const attempt = this.#attempts.get(leaseName(lease));
    if (attempt === undefined) return [];
    if (!attempt.ended && how === "finished") {
      if (attempt.stage !== null) close(attempt, nowMs);
      else if (attempt.sinceMs !== null) attempt.times.push(timeOf(attempt, "run", nowMs - attempt.sinceMs));
    }
    attempt.ended = true;
    return attempt.times;
  }

  /** What `end` answered, for the last time. */
  forget(lease: LeaseRef): readonly StageTime[] {
    const attempt = this.#attempts.get(leaseName(lease));
    this.#attempts.delete(leaseName(lease));
    return attempt?.ended === true ? attempt.times : [];
  }
}

function close(attempt: Timeline, nowMs: number): void {
  if (attempt.stage === null || attempt.enteredMs === null) return;
  attempt.times.push(timeOf(attempt, attempt.stage, nowMs - attempt.enteredMs));
}

function timeOf({ estimate }: Timeline, stage: CostStage, ms: number): StageTime {
  return { stage, predictedMs: Math.round(estimate[stage] ?? 0), actualMs: Math.max(0, Math.round(ms)) };
}

function rank(stage: Stage | null): number {
  return stage === null ? -1 : COST_STAGES.indexOf(stage);
}
