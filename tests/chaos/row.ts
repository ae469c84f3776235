/** One line of the table as data: a fault, how often, what must hold, and the code that brings it about. */
import type { Stage } from "./stage.ts";

/** A figure that is measured in every round; its worst value is compared with the goal. */
export interface Goal {
  readonly name: string;
  readonly says: string;
  readonly most: number;
  readonly unit: "ms" | "%" | "";
  /** A missed time is printed; a broken promise of safety ends the run with 1. */
  readonly kind: "time" | "safety";
}

export interface Row {
  readonly id: string;
  readonly fault: string;
  readonly goals: readonly Goal[];
  /** `slice` null: not part of the slice. */
  readonly rounds: { readonly full: number; readonly slice: number | null };
  /** Runners that must be there. */
  readonly runners: number;
  /** Another row that it may share the site with at the same time: both only wait, and on runners of their own. */
  readonly beside: string | null;
  /** Throws `NotRunHere` where the machine refuses the fault. */
  run(stage: Stage, rounds: number): Promise<void>;
  /** Puts back what the checker had to see as it was. */
  restore?(stage: Stage): Promise<void>;
}

export class NotRunHere extends Error {
  override readonly name = "NotRunHere";
}

export interface Figure {
  readonly goal: Goal;
  readonly worst: number | null;
  readonly median: number | null;
}

export interface RowResult {
  readonly row: Row;
  readonly rounds: number;
  readonly figures: readonly Figure[];
  /** Broken promises, by the checker or the row. */
  readonly breaches: readonly string[];
  readonly notes: readonly string[];
  readonly notRun: string | null;
  readonly tookMs: number;
}
