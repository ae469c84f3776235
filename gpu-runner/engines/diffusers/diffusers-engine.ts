/** The `diffusers` engine: real video models, through a Python sidecar a slot. */
import type { Engine } from "../../engine.ts";
import { readModelFile } from "./model-file.ts";
import { Sidecar } from "./sidecar.ts";
import { type DiffusersOptions, SidecarDevice } from "./sidecar-device.ts";
import type { SidecarEvent } from "./sidecar-message.ts";

export interface OpenOptions extends Omit<DiffusersOptions, "models"> {
  readonly modelFile: string;
}

type Hello = Extract<SidecarEvent, { t: "hello" }>;

/** Asks a sidecar what it is and what it sees; wrong settings fail here and not in somebody's job. */
export async function openDiffusersEngine({ modelFile, ...options }: OpenOptions): Promise<Engine> {
  const models = await readModelFile(modelFile);
  const { build, devices, pipelines } = await greet(options.python);
  for (const { name, pipeline } of models.values()) {
    if (!pipelines.includes(pipeline)) {
      throw new Error(`model '${name}': '${pipeline}' is none of ${pipelines.join(", ")}`);
    }
  }
  const gpus = devices.filter(({ kind }) => kind !== "cpu");
  return {
    name: "diffusers",
    build,
    models: [...models.keys()],
    caps: { checkpoint: "exact", step_progress: true, cancel: "step" },
    gpus: gpus.length === 0 ? null : gpus.map((gpu) => ({ name: gpu.name, vramBytes: gpu.vram_bytes })),
    openDevice: (index) => new SidecarDevice({ ...options, models }, gpus.length === 0 ? null : index),
  };
}

async function greet(python: string): Promise<Hello> {
  const { promise, resolve, reject } = Promise.withResolvers<Hello>();
  const sidecar = new Sidecar(
    { python, gpu: null, shelfBytes: 0 },
    {
      event: (event) => event.t === "hello" && resolve(event),
      ended: ({ detail }) => reject(new Error(`the diffusers sidecar (${python}) does not work: ${detail}`)),
    },
  );
  try {
    return await promise;
  } finally {
    sidecar.kill();
    await sidecar.gone;
  }
}
