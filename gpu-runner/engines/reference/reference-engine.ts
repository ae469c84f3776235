/** The `reference` engine: procedural pictures by diffusion. It has no weights and is no AI model. */
import type { Sha256Hex } from "#protocol/id.ts";
import type { Engine } from "../../engine.ts";
import { REFERENCE_BUILD } from "./build.ts";
import { ChildDevice } from "./child-device.ts";

export interface ReferenceOptions {
  /** Whether prompts may turn fault knobs. */
  readonly faults: boolean;
  /** Shortens the hang watchdog in tests. */
  readonly hangMsMin?: number;
  /** Another one than `KNOWN_ANSWER` makes an engine that is broken, in tests. */
  readonly knownAnswer?: Sha256Hex;
}

export function referenceEngine(options: ReferenceOptions): Engine {
  return {
    name: "reference",
    build: REFERENCE_BUILD,
    models: ["reference"],
    caps: { checkpoint: "exact", step_progress: true, cancel: "step" },
    gpus: null,
    openDevice: () => new ChildDevice(options),
  };
}
