/** One line of the conformance suite: which calls of the SDK, what has to hold, and the code that checks it. */
import type { Stage } from "./stage.ts";

export interface Case {
  /** As the SDK spells it. */
  readonly call: string;
  /** A sentence that a user would say. */
  readonly title: string;
  readonly tier?: "free" | "plus" | "pro";
  /** Throws if it does not hold. */
  readonly check: (stage: Stage) => Promise<void>;
  /** What is not built yet. The check has to fail then: once it passes, this line has to go. */
  readonly pending?: string;
}
