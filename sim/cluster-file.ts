/**
 * A cluster: runners with their devices, from a JSON file or by name.
 *
 * A name says runners x devices and the GPU, for example `8x8-h100`: eight runners of eight H100-80 each.
 */
import { readFileSync } from "node:fs";
import { z } from "zod";
import { DEVICE_SLOTS_MAX } from "#protocol/runner.ts";

export const RUNNERS_MAX = 4_096;
const GPUS = ["H100-80", "A100-80", "H20-96", "H200-141", "L20-48", "RTX4090-24"] as const;

const RunnerEntry = z.strictObject({
  id: z.string().min(1),
  gpu: z.enum(GPUS),
  devices: z.int().min(1).max(64),
  vram_gb: z.number().positive(),
  /** Single-device jobs that may share a device. */
  slots: z.int().min(1).max(DEVICE_SLOTS_MAX).default(1),
  nvlink: z.boolean().default(true),
  /** Mean time between failures; null never fails. */
  mtbf_h: z.number().positive().nullable().default(null),
});
export type SimRunner = Readonly<z.infer<typeof RunnerEntry>>;

const ClusterFile = z.strictObject({ runners: z.array(RunnerEntry).min(1).max(RUNNERS_MAX) });

/** The given text is a known name, or else a path. */
export function readCluster(nameOrPath: string): readonly SimRunner[] {
  return namedCluster(nameOrPath) ?? parseCluster(readFileSync(nameOrPath, "utf8"), nameOrPath);
}

export function parseCluster(text: string, name: string): readonly SimRunner[] {
  const parsed = ClusterFile.safeParse(JSON.parse(text));
  if (!parsed.success) throw new Error(`${name} is not a cluster: ${z.prettifyError(parsed.error)}`);
  const { runners } = parsed.data;
  const ids = new Set(runners.map((runner) => runner.id));
  if (ids.size < runners.length) throw new Error(`${name} names a runner twice`);
  return runners;
}

export function namedCluster(name: string): readonly SimRunner[] | null {
  const match = /^(\d+)x(\d+)-([a-z]+\d+)$/.exec(name);
  const [count, devices] = [Number(match?.[1]), Number(match?.[2])];
  const gpu = GPUS.find((known) => known.toLowerCase().startsWith(`${match?.[3]}-`));
  if (match === null || gpu === undefined || count < 1 || count > RUNNERS_MAX) return null;
  return Array.from({ length: count }, (_, index) =>
    RunnerEntry.parse({
      id: `r${String(index).padStart(String(count - 1).length, "0")}`,
      gpu,
      devices,
      vram_gb: Number(gpu.split("-")[1]),
    }),
  );
}
