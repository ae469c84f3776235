/** Programs that answer in the driver's place, first in the path until the test is over. */
import { chmod, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished, vi } from "vitest";

/** In the order of the columns that are asked for. */
export const HEADER =
  "index, uuid, name, pci.bus_id, memory.total [MiB], memory.used [MiB], utilization.gpu [%], temperature.gpu, power.draw [W], ecc.errors.uncorrected.volatile.total, mig.mode.current";
export const FIRST =
  "0, GPU-1c2d3e4f-0000, NVIDIA H100 80GB HBM3, 00000000:3B:00.0, 81559, 1024, 97, 61, 512.30, 0, Disabled";
export const SECOND =
  "1, GPU-9a8b7c6d-0000, NVIDIA H100 80GB HBM3, 00000000:5E:00.0, 81559, 0, 0, 33, 71.02, [N/A], [N/A]";

export class FakeDriver {
  readonly dir: string;

  static async install(): Promise<FakeDriver> {
    const dir = await mkdtemp(join(tmpdir(), "callsheet-driver-"));
    onTestFinished(async () => {
      vi.unstubAllEnvs();
      await rm(dir, { recursive: true, force: true });
    });
    vi.stubEnv("PATH", `${dir}:${process.env["PATH"]}`);
    return new FakeDriver(dir);
  }

  constructor(dir: string) {
    this.dir = dir;
  }

  /** It is there, and nobody may run it. */
  forbid(name: "nvidia-smi"): Promise<void> {
    return chmod(join(this.dir, name), 0o644);
  }

  async program(name: "nvidia-smi" | "dmesg", script: string): Promise<void> {
    const path = join(this.dir, name);
    await writeFile(`${path}.new`, `#!/bin/sh\n${script}\n`);
    await chmod(`${path}.new`, 0o755);
    await rename(`${path}.new`, path);
  }

  smi(...lines: readonly string[]): Promise<void> {
    return this.program("nvidia-smi", `cat <<'END'\n${[HEADER, ...lines].join("\n")}\nEND`);
  }
}
