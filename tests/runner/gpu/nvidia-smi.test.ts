import { expect, test, vi } from "vitest";
import { gpusIn, seenGpus } from "#gpu-runner/gpu/nvidia-smi.ts";
import { FakeDriver, FIRST, HEADER, SECOND } from "./fake-driver.ts";

test("columns are found by their names, wherever they stand, and what a GPU does not tell is null", () => {
  const turned = (line: string) => line.split(", ").toReversed().join(", ");
  const [gpu] = gpusIn([HEADER, SECOND].map(turned).join("\n"));
  expect(gpu).toEqual({
    index: "1",
    uuid: "GPU-9a8b7c6d-0000",
    name: "NVIDIA H100 80GB HBM3",
    bus: "00000000:5E:00.0",
    vramBytes: 81_559 * 1024 ** 2,
    usedBytes: 0,
    utilization: 0,
    celsius: 33,
    watts: 71.02,
    eccErrors: null,
    isCut: false,
  });
  expect(() => gpusIn(`${HEADER.replace("memory.total", "fb.total")}\n${FIRST}`)).toThrow("'memory.total'");
  expect(() => gpusIn(`${HEADER}\n${FIRST.replace("81559", "[N/A]")}`)).toThrow("[N/A]");
});

test("a host's GPUs are those that may be seen, by index or UUID, in that order", async () => {
  await (await FakeDriver.install()).smi(FIRST, SECOND);
  const buses = async (visible: string | null) => (await seenGpus(visible))?.map(({ bus }) => bus);
  const [first, second] = ["00000000:3B:00.0", "00000000:5E:00.0"];
  expect(await buses(null)).toEqual([first, second]);
  expect(await buses("1")).toEqual([second]);
  expect(await buses("GPU-9a8b7c6d, 0")).toEqual([second, first]);
  expect(await seenGpus("")).toBeNull();
});

test("slices of a GPU are devices of their own, with the memory of their profile", async () => {
  const driver = await FakeDriver.install();
  const list = [
    "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1c2d3e4f-0000)",
    "  MIG 4g.40gb     Device  0: (UUID: MIG-aaaa-1)",
    "  MIG 1g.10gb+me  Device  1: (UUID: MIG-aaaa-2)",
    "GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-9a8b7c6d-0000)",
  ];
  const query = [HEADER, FIRST.replace("Disabled", "Enabled"), SECOND];
  const here = (lines: readonly string[]) => `cat <<'END'\n${lines.join("\n")}\nEND`;
  await driver.program("nvidia-smi", `if [ "$1" = -L ]; then ${here(list)}\nelse ${here(query)}\nfi`);
  expect((await seenGpus(null))?.map(({ uuid, name, vramBytes }) => [uuid, name, vramBytes / 1024 ** 3])).toEqual([
    ["MIG-aaaa-1", "NVIDIA H100 80GB HBM3 4g.40gb", 40],
    ["MIG-aaaa-2", "NVIDIA H100 80GB HBM3 1g.10gb+me", 10],
    ["GPU-9a8b7c6d-0000", "NVIDIA H100 80GB HBM3", 81_559 / 1024],
  ]);
  expect((await seenGpus("MIG-aaaa-2"))?.map(({ uuid }) => uuid)).toEqual(["MIG-aaaa-2"]);
});

test("a host without the driver has none; a driver that fails is told of", async () => {
  const driver = await FakeDriver.install();
  await driver.program("nvidia-smi", "echo 'Unable to determine the device handle: Unknown Error'; exit 255");
  await expect(seenGpus(null)).rejects.toThrow("may be broken");
  vi.stubEnv("PATH", "/nowhere");
  expect(await seenGpus(null)).toBeNull();
  await driver.forbid("nvidia-smi");
  vi.stubEnv("PATH", driver.dir);
  expect(await seenGpus(null)).toBeNull();
});
