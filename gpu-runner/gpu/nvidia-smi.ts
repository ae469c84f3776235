/**
 * The GPUs of this host and how they are, as `nvidia-smi` tells. Its output is not promised to stay as it is, so columns are found by
 * their names; what a GPU does not tell is null. A host without it has no GPU that we can see. A call that hangs is cut off: that it does is a
 * sign of its own.
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Gpu } from "../engine.ts";

const COLUMNS = {
  index: "index",
  uuid: "uuid",
  name: "name",
  bus: "pci.bus_id",
  memory: "memory.total",
  used: "memory.used",
  utilization: "utilization.gpu",
  celsius: "temperature.gpu",
  watts: "power.draw",
  eccErrors: "ecc.errors.uncorrected.volatile.total",
  mig: "mig.mode.current",
} as const;
const CALL_MS = 10_000;
const ABSENT: ReadonlySet<unknown> = new Set(["ENOENT", "EACCES"]);
const BYTES_PER_MIB = 1024 * 1024;
const BYTES_PER_GIB = 1024 * BYTES_PER_MIB;

/** One line of the answer. */
export interface GpuReading extends Gpu {
  readonly index: string;
  readonly uuid: string;
  /** On the PCI bus, as kernel messages name it. */
  readonly bus: string;
  readonly usedBytes: number | null;
  readonly utilization: number | null;
  readonly celsius: number | null;
  readonly watts: number | null;
  /** Uncorrected, since the driver was loaded. */
  readonly eccErrors: number | null;
  /** Cut into slices, which are the devices. */
  readonly isCut: boolean;
}

/** Something to compute on: a GPU, or a slice of one. `uuid` is what `CUDA_VISIBLE_DEVICES` takes. */
export interface SeenGpu extends Gpu {
  readonly uuid: string;
  readonly bus: string;
}

/** Null: the host has no driver. Throws if the driver fails, or does not answer in time. */
export async function readGpus(): Promise<readonly GpuReading[] | null> {
  const csv = await smi([`--query-gpu=${Object.values(COLUMNS).join(",")}`, "--format=csv,nounits"]);
  return csv === null ? null : gpusIn(csv);
}

/** Those that `CUDA_VISIBLE_DEVICES` leaves, in its order: device `gpu-0` is the first of them. Null: there are none. */
export async function seenGpus(visible: string | null): Promise<readonly SeenGpu[] | null> {
  const gpus = await readGpus();
  if (gpus === null) return null;
  const slices = gpus.some(({ isCut }) => isCut) ? slicesIn((await smi(["-L"])) ?? "", gpus) : [];
  const devices = gpus.flatMap((gpu) => (gpu.isCut ? slices.filter(({ bus }) => bus === gpu.bus) : [gpu]));
  const named = (name: string) =>
    [...gpus, ...slices].filter((one) => ("index" in one && one.index === name) || isPrefix(name, one.uuid));
  const chosen = visible === null ? devices : visible.split(",").flatMap((name) => named(name.trim()));
  return chosen.length === 0 ? null : chosen;
}

function isPrefix(name: string, uuid: string): boolean {
  return /^(GPU|MIG)-/.test(name) && uuid.startsWith(name);
}

async function smi(args: readonly string[]): Promise<string | null> {
  const run = promisify(execFile);
  try {
    return (await run("nvidia-smi", args, { timeout: CALL_MS, killSignal: "SIGKILL" })).stdout;
  } catch (fault) {
    // EACCES: a folder of the path that this user may not read hides whether it is there.
    if (fault instanceof Error && "code" in fault && ABSENT.has(fault.code)) return null;
    throw new Error("nvidia-smi does not answer: a GPU of this host may be broken", { cause: fault });
  }
}

/** The answer as CSV with a header line. Pure. */
export function gpusIn(csv: string): readonly GpuReading[] {
  const [header = "", ...lines] = csv.trim().split("\n");
  const titles = header.split(",").map((title) => title.trim().replace(/ \[.*$/, ""));
  return lines.map((line) => {
    const cells = line.split(",").map((cell) => cell.trim());
    const of = (column: keyof typeof COLUMNS): string => {
      const cell = cells[titles.indexOf(COLUMNS[column])];
      if (cell === undefined) throw new Error(`nvidia-smi says nothing of '${COLUMNS[column]}': ${header}`);
      return cell;
    };
    const figure = (column: keyof typeof COLUMNS): number | null => {
      const cell = of(column);
      return cell !== "" && Number.isFinite(Number(cell)) ? Number(cell) : null;
    };
    const mib = figure("memory");
    if (mib === null) throw new Error(`nvidia-smi says '${of("memory")}' of memory`);
    const used = figure("used");
    return {
      index: of("index"),
      uuid: of("uuid"),
      name: of("name"),
      bus: of("bus"),
      vramBytes: mib * BYTES_PER_MIB,
      usedBytes: used === null ? null : used * BYTES_PER_MIB,
      utilization: figure("utilization"),
      celsius: figure("celsius"),
      watts: figure("watts"),
      eccErrors: figure("eccErrors"),
      isCut: of("mig") === "Enabled",
    };
  });
}

/** The slices of `nvidia-smi -L`; their memory is the profile's, e.g. of `3g.71gb`. Pure. */
export function slicesIn(list: string, gpus: readonly GpuReading[]): readonly SeenGpu[] {
  const slices: SeenGpu[] = [];
  let gpu: GpuReading | undefined;
  for (const line of list.split("\n")) {
    const [, index] = /^GPU (\d+):/.exec(line) ?? [];
    if (index !== undefined) gpu = gpus.find((one) => one.index === index);
    const [, profile, gigabytes, uuid] = /^\s+MIG\s+(\S*?(\d+)gb\S*)\s.*\(UUID:\s*(MIG-[^)\s]+)\)/.exec(line) ?? [];
    if (gpu === undefined || profile === undefined || uuid === undefined) continue;
    slices.push({ uuid, bus: gpu.bus, name: `${gpu.name} ${profile}`, vramBytes: Number(gigabytes) * BYTES_PER_GIB });
  }
  return slices;
}
