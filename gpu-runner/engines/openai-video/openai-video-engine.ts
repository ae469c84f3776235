/** The `openai-video` engine: whatever a vLLM-Omni or SGLang server can render, one server a device. */
import type { Engine } from "../../engine.ts";
import type { SeenGpu } from "../../gpu/nvidia-smi.ts";
import { ServerDevice, type ServerDeviceOptions } from "./server-device.ts";
import { readServerFile } from "./server-file.ts";

/** Raised whenever what is asked of a server changes. */
const BUILD = "openai-video-1";

export interface OpenOptions extends Omit<ServerDeviceOptions, "models"> {
  readonly modelFile: string;
  /** What the host has; null: nothing that we can see. */
  readonly gpus: readonly SeenGpu[] | null;
}

export async function openOpenAiVideoEngine({ modelFile, gpus, ...options }: OpenOptions): Promise<Engine> {
  const models = await readServerFile(modelFile);
  return {
    name: "openai-video",
    build: BUILD,
    models: [...models.keys()],
    caps: { checkpoint: "none", step_progress: false, cancel: "process" },
    gpus,
    openDevice: (index) => new ServerDevice({ ...options, models }, index, gpus?.[index]?.uuid ?? null),
  };
}
