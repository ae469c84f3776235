/**
 * Learns how far estimates are off, for each engine build, model, GPU kind and gang.
 *
 * The p50 follows an exponentially weighted mean of observed / predicted; the p90 is a quantile of what that mean left
 * unexplained, over the latest outcomes. Single outcomes are clamped, so one stalled job cannot move a plan far.
 */
/** In the order in which a job goes through them; `run` is the whole attempt of an engine that reports no stages. */
export const COST_STAGES = ["load", "encode", "denoise", "decode", "upload", "run"] as const;
export type CostStage = (typeof COST_STAGES)[number];

export interface Outcome {
  /** Build of the engine, model, GPU kind and gang. */
  readonly build: string;
  readonly model: string;
  readonly gpu: string;
  readonly k: number;
  readonly stage: CostStage;
  /** As seeded or declared, without correction. */
  readonly predictedMs: number;
  readonly observedMs: number;
}

export type CorrectionKey = Pick<Outcome, "build" | "model" | "gpu" | "k">;

/** Weight of the newest outcome. */
export const SMOOTHING = 0.2;
/** Published software differs by up to half; beyond this range an outcome is a fault of the run, not of the estimate. */
export const RATIO_MIN = 0.25;
export const RATIO_MAX = 4;
/** Latest ratios that the p90 is taken over, and how many it needs before it replaces the prior. */
export const QUANTILE_WINDOW = 64;
export const QUANTILE_SAMPLES_MIN = 10;
/** Seeds are 30 to 50 % off across software. */
export const P90_PRIOR = 1.5;
/** Outcomes kept for people, and keys learnt; the key that was idle longest makes room. */
export const OUTCOMES_MAX = 1_024;
export const KEYS_MAX = 4_096;
const QUANTILE = 0.9;

interface Learnt {
  factor: number;
  seen: number;
  readonly residuals: number[];
  next: number;
}

export class CostCorrection {
  readonly #learnt = new Map<string, Learnt>();
  readonly #outcomes: Outcome[] = [];
  #nextOutcome = 0;

  observe(outcome: Outcome): void {
    if (!(outcome.predictedMs > 0) || !(outcome.observedMs >= 0)) return;
    this.#keep(outcome);
    // The loop is nine tenths of a job and the same arithmetic each time; loads and codecs are kept for people only.
    if (outcome.stage !== "denoise" && outcome.stage !== "run") return;
    const ratio = clamp(outcome.observedMs / outcome.predictedMs);
    const id = idOf(outcome);
    const learnt = this.#learnt.get(id) ?? { factor: 1, seen: 0, residuals: [], next: 0 };
    learnt.residuals[learnt.next] = ratio / learnt.factor;
    learnt.next = (learnt.next + 1) % QUANTILE_WINDOW;
    learnt.seen++;
    // The seed counts as one outcome: early ones weigh more, and still the first moves the estimate only half way.
    learnt.factor += Math.max(SMOOTHING, 1 / (learnt.seen + 1)) * (ratio - learnt.factor);
    this.#learnt.delete(id);
    this.#learnt.set(id, learnt);
    const [oldest] = this.#learnt.keys();
    if (this.#learnt.size > KEYS_MAX && oldest !== undefined) this.#learnt.delete(oldest);
  }

  /** What to multiply an estimate with for its p50. */
  factor(key: CorrectionKey): number {
    return this.#learnt.get(idOf(key))?.factor ?? 1;
  }

  /** p90 / p50 of the corrected estimate. */
  spread(key: CorrectionKey): number {
    const residuals = this.#learnt.get(idOf(key))?.residuals ?? [];
    if (residuals.length < QUANTILE_SAMPLES_MIN) return P90_PRIOR;
    const sorted = residuals.toSorted((a, b) => a - b);
    return Math.max(1, sorted[Math.ceil(QUANTILE * sorted.length) - 1] ?? P90_PRIOR);
  }

  /** Predictions and outcomes by stage, oldest first. */
  outcomes(): readonly Outcome[] {
    return [...this.#outcomes.slice(this.#nextOutcome), ...this.#outcomes.slice(0, this.#nextOutcome)];
  }

  #keep(outcome: Outcome): void {
    this.#outcomes[this.#nextOutcome] = outcome;
    this.#nextOutcome = (this.#nextOutcome + 1) % OUTCOMES_MAX;
  }
}

function idOf({ build, model, gpu, k }: CorrectionKey): string {
  return JSON.stringify([build, model, gpu, k]);
}

function clamp(ratio: number): number {
  return Math.min(RATIO_MAX, Math.max(RATIO_MIN, ratio));
}
