/** The engine that the configuration names, ready to open devices. */
import type { DeclaredDevices, RunnerConfig } from "../config.ts";
import type { Engine } from "../engine.ts";
import type { SeenGpu } from "../gpu/nvidia-smi.ts";
import { Vacancy } from "../gpu/vacancy.ts";
import { openDiffusersEngine } from "./diffusers/diffusers-engine.ts";
import { openOpenAiVideoEngine } from "./openai-video/openai-video-engine.ts";
import { referenceEngine } from "./reference/reference-engine.ts";

type Settings = Pick<RunnerConfig, "engine" | "faults" | "devices">;

export async function openEngine(
  { engine, faults, devices }: Settings,
  gpus: readonly SeenGpu[] | null,
): Promise<Engine> {
  switch (engine.name) {
    case "reference":
      return referenceEngine({ faults });
    case "diffusers":
      return openDiffusersEngine({ ...engine, faults, vacancies: await vacanciesOf(gpus, devices) });
    case "openai-video":
      return openOpenAiVideoEngine({ ...engine, gpus });
    default:
      return engine satisfies never;
  }
}

/** Where slots share a GPU, what one of them leaves cannot be told from what the others hold. */
function vacanciesOf(
  gpus: readonly SeenGpu[] | null,
  { slots }: DeclaredDevices,
): Promise<readonly (Vacancy | null)[]> {
  return Promise.all((slots > 1 ? [] : (gpus ?? [])).map(({ bus }) => Vacancy.before(bus)));
}
