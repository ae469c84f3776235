/**
 * The GPUs of this host, as `nvidia-smi` tells. Its output is not promised to stay as it is, so columns are found by their names;
 * a call that hangs is cut off. A host without it has no GPU that we can see.
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Gpu } from "./engine.ts";

const COLUMNS = ["index", "uuid", "name", "memory.total"] as const;
const CALL_MS = 10_000;
const BYTES_PER_MIB = 1024 * 1024;

export interface SeenGpu extends Gpu {
  readonly index: string;
  readonly uuid: string;
}

/** Those that `CUDA_VISIBLE_DEVICES` leaves, in its order: device `gpu-0` is the first of them. Null: there are none. */
export async function seenGpus(visible: string | null): Promise<readonly SeenGpu[] | null> {
  const run = promisify(execFile);
  const args = [`--query-gpu=${COLUMNS.join(",")}`, "--format=csv,nounits"];
  const { stdout } = await run("nvidia-smi", args, { timeout: CALL_MS, killSignal: "SIGKILL" }).catch(
    (fault: unknown) => {
      if (fault instanceof Error && "code" in fault && fault.code === "ENOENT") return { stdout: "" };
      throw new Error("nvidia-smi does not answer: a GPU of this host may be broken", { cause: fault });
    },
  );
  const gpus = gpusIn(stdout);
  const chosen = visible === null ? gpus : visible.split(",").flatMap((name) => gpus.filter(isNamed(name.trim())));
  return chosen.length === 0 ? null : chosen;
}

/** The answer as CSV with a header line. Pure. */
export function gpusIn(csv: string): readonly SeenGpu[] {
  const [header = "", ...lines] = csv.trim().split("\n");
  const columns = header.split(",").map((title) => title.trim().replace(/ \[.*$/, ""));
  return lines.map((line) => {
    const cells = line.split(",").map((cell) => cell.trim());
    const of = (column: (typeof COLUMNS)[number]): string => {
      const cell = cells[columns.indexOf(column)];
      if (cell === undefined) throw new Error(`nvidia-smi says nothing of '${column}': ${header}`);
      return cell;
    };
    const mib = Number(of("memory.total"));
    if (!Number.isFinite(mib)) throw new Error(`nvidia-smi says '${of("memory.total")}' of memory`);
    return { index: of("index"), uuid: of("uuid"), name: of("name"), vramBytes: mib * BYTES_PER_MIB };
  });
}

/** By its index, or by its UUID or the beginning of one. */
function isNamed(name: string): (gpu: SeenGpu) => boolean {
  return ({ index, uuid }) => name === index || (name.startsWith("GPU-") && uuid.startsWith(name));
}
