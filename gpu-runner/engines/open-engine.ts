/** The engine that the configuration names, ready to open devices. */
import type { RunnerConfig } from "../config.ts";
import type { Engine } from "../engine.ts";
import { openDiffusersEngine } from "./diffusers/diffusers-engine.ts";
import { referenceEngine } from "./reference/reference-engine.ts";

export async function openEngine({ engine, faults }: Pick<RunnerConfig, "engine" | "faults">): Promise<Engine> {
  switch (engine.name) {
    case "reference":
      return referenceEngine({ faults });
    case "diffusers":
      return openDiffusersEngine({ ...engine, faults });
    default:
      return engine satisfies never;
  }
}
