/** What the runner and its engine child say over the fork's channel. `run` numbers tell late events from current ones. */
import type { Sha256Hex } from "#protocol/id.ts";
import type { EngineEvent, EngineJob, StopWhy } from "../../engine.ts";

export type ToChild =
  /** Asks for the known answer; sent only while no job runs. */
  | { readonly t: "check"; readonly run: number }
  | { readonly t: "run"; readonly run: number; readonly job: EngineJob; readonly faults: boolean }
  | { readonly t: "stop"; readonly run: number; readonly why: StopWhy };

export type FromChild =
  /** Once, when it can take its first order: the time until then is the host's, not a job's. */
  | { readonly t: "ready" }
  | { readonly t: "event"; readonly run: number; readonly event: EngineEvent }
  | { readonly t: "checked"; readonly run: number; readonly latents: Sha256Hex };
