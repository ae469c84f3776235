import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, onTestFinished, test, vi } from "vitest";
import { gpusIn, seenGpus } from "#gpu-runner/nvidia-smi.ts";

const ANSWER = `index, uuid, name, memory.total [MiB]
0, GPU-1c2d3e4f-0000-1111-2222-333344445555, NVIDIA H100 80GB HBM3, 81559
1, GPU-9a8b7c6d-0000-1111-2222-333344445555, NVIDIA H100 80GB HBM3, 81559
`;

afterEach(() => {
  vi.unstubAllEnvs();
});

/** A program of this name that comes first. */
async function answerWith(script: string): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), "callsheet-smi-"));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  await writeFile(join(dir, "nvidia-smi"), `#!/bin/sh\n${script}\n`);
  await chmod(join(dir, "nvidia-smi"), 0o755);
  vi.stubEnv("PATH", `${dir}:${process.env["PATH"]}`);
}

test("columns are found by their names, wherever they stand", () => {
  const shuffled = "name, memory.total [MiB], uuid, index, temperature.gpu\nNVIDIA L4, 23034, GPU-1, 0, 41\n";
  expect(gpusIn(shuffled)).toEqual([{ index: "0", uuid: "GPU-1", name: "NVIDIA L4", vramBytes: 23_034 * 1024 ** 2 }]);
  expect(() => gpusIn("index, uuid, name\n0, GPU-1, NVIDIA L4\n")).toThrow("'memory.total'");
  expect(() => gpusIn("index, uuid, name, memory.total [MiB]\n0, GPU-1, NVIDIA GB10, [N/A]\n")).toThrow("[N/A]");
});

test("a host's GPUs are those that may be seen, by index or UUID, in that order", async () => {
  await answerWith(`cat <<'END'\n${ANSWER}END`);
  const indices = async (visible: string | null) => (await seenGpus(visible))?.map(({ index }) => index);
  expect(await seenGpus("0")).toMatchObject([{ name: "NVIDIA H100 80GB HBM3", vramBytes: 81_559 * 1024 ** 2 }]);
  expect(await indices(null)).toEqual(["0", "1"]);
  expect(await indices("1")).toEqual(["1"]);
  expect(await indices("GPU-9a8b7c6d, 0")).toEqual(["1", "0"]);
  expect(await seenGpus("")).toBeNull();
});

test("a host without the driver has none; a driver that fails is told of", async () => {
  vi.stubEnv("PATH", "/nowhere");
  expect(await seenGpus(null)).toBeNull();
  vi.unstubAllEnvs();
  await answerWith("echo 'Unable to determine the device handle for GPU0000:3B:00.0: Unknown Error'; exit 255");
  await expect(seenGpus(null)).rejects.toThrow("may be broken");
});
