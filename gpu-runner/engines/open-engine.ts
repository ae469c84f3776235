/** The engine that the configuration names, ready to open devices. */
import type { RunnerConfig } from "../config.ts";
import type { Engine } from "../engine.ts";
import type { SeenGpu } from "../gpu/nvidia-smi.ts";
import { openDiffusersEngine } from "./diffusers/diffusers-engine.ts";
import { openOpenAiVideoEngine } from "./openai-video/openai-video-engine.ts";
import { referenceEngine } from "./reference/reference-engine.ts";

type Settings = Pick<RunnerConfig, "engine" | "faults">;

export async function openEngine({ engine, faults }: Settings, gpus: readonly SeenGpu[] | null): Promise<Engine> {
  switch (engine.name) {
    case "reference":
      return referenceEngine({ faults });
    case "diffusers":
      return openDiffusersEngine({ ...engine, faults });
    case "openai-video":
      return openOpenAiVideoEngine({ ...engine, gpus });
    default:
      return engine satisfies never;
  }
}
