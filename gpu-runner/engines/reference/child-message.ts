/** What the runner and its engine child say over the fork's channel. `run` numbers tell late events from current ones. */
import type { EngineEvent, EngineJob, StopWhy } from "../../engine.ts";

export type ToChild =
  | { readonly t: "run"; readonly run: number; readonly job: EngineJob; readonly faults: boolean }
  | { readonly t: "stop"; readonly run: number; readonly why: StopWhy };

export interface FromChild {
  readonly run: number;
  readonly event: EngineEvent;
}
