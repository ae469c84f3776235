/**
 * The cost model of the running system: classes as the price list declares them, corrected by what was observed.
 *
 * A class declares its GPU time at its model's default steps on one device. The charge is that declaration, so that a slow
 * runner never costs an account its share; run times are corrected per class and kind of GPU.
 */
import type { CostModel } from "./job-class.ts";

const SMOOTHING = 0.2;
const RATIO_MIN = 0.1;
const RATIO_MAX = 10;

export interface DeclaredCost {
  readonly gpuMs: number;
  readonly steps: number;
}

export class ClassCosts implements CostModel {
  readonly #declared = new Map<string, DeclaredCost>();
  readonly #ratios = new Map<string, number>();

  declare(classId: string, cost: DeclaredCost): void {
    this.#declared.set(classId, cost);
  }

  runMs(classId: string, gpu: string, k: number, steps: number): number | null {
    if (k !== 1 || !this.#declared.has(classId)) return null;
    return Math.ceil(this.chargeMs(classId, steps) * (this.#ratios.get(keyOf(classId, gpu)) ?? 1));
  }

  /** Declared classes load nothing: the reference engine is always warm. */
  loadMs(): number {
    return 0;
  }

  chargeMs(classId: string, steps: number): number {
    const declared = this.#declared.get(classId);
    return declared === undefined ? 0 : Math.ceil((declared.gpuMs * steps) / declared.steps);
  }

  /** A run of `steps` that took `actualMs`. */
  observe(classId: string, gpu: string, steps: number, actualMs: number): void {
    const declaredMs = this.chargeMs(classId, steps);
    if (declaredMs <= 0) return;
    const seen = Math.min(RATIO_MAX, Math.max(RATIO_MIN, actualMs / declaredMs));
    const key = keyOf(classId, gpu);
    const known = this.#ratios.get(key) ?? seen;
    this.#ratios.set(key, known + SMOOTHING * (seen - known));
  }
}

function keyOf(classId: string, gpu: string): string {
  return `${classId} ${gpu}`;
}
