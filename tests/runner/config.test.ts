import { describe, expect, test } from "vitest";
import { readConfig } from "#gpu-runner/config.ts";

const NEEDED = { CALLSHEET_CONTROL_PLANE_URLS: "http://127.0.0.1:1" };

describe("a runner's devices", () => {
  test("are one, unshared and as large as the host allows, if nothing is declared", () => {
    expect(readConfig(NEEDED).devices).toEqual({ count: 1, vramBytes: null, slots: 1 });
  });

  test("are declared by count, memory and slots", () => {
    const declared = { CALLSHEET_DEVICES: "2", CALLSHEET_DEVICE_VRAM_GB: "79.5", CALLSHEET_DEVICE_SLOTS: "4" };
    expect(readConfig({ ...NEEDED, ...declared }).devices).toEqual({ count: 2, vramBytes: 79_500_000_000, slots: 4 });
  });

  test("that cannot be are all refused at once, by variable", () => {
    const wrong = { CALLSHEET_DEVICES: "65", CALLSHEET_DEVICE_VRAM_GB: "80000000000", CALLSHEET_DEVICE_SLOTS: "17" };
    expect(() => readConfig({ ...NEEDED, ...wrong })).toThrow(
      /CALLSHEET_DEVICES[^]*CALLSHEET_DEVICE_VRAM_GB[^]*CALLSHEET_DEVICE_SLOTS/,
    );
  });
});

describe("a runner's engine", () => {
  test("is the reference engine, if nothing is said", () => {
    expect(readConfig(NEEDED).engine).toEqual({ name: "reference" });
  });

  test("may be diffusers, which needs to know its models", () => {
    const said = { CALLSHEET_ENGINE: "diffusers", CALLSHEET_MODEL_FILE: "/m.json", CALLSHEET_DIFFUSERS_VENV: "/venv" };
    const python = "/venv/bin/python";
    const expected = { name: "diffusers", modelFile: "/m.json", python, shelfBytes: 0 };
    expect(readConfig({ ...NEEDED, ...said }).engine).toEqual(expected);
    expect(() => readConfig({ ...NEEDED, CALLSHEET_ENGINE: "diffusers" })).toThrow(/CALLSHEET_MODEL_FILE/);
    expect(() => readConfig({ ...NEEDED, CALLSHEET_ENGINE: "sora" })).toThrow(/CALLSHEET_ENGINE/);
  });

  test("keeps weights in main memory where the operator says how many GB, shared out among all slots", () => {
    const said = { CALLSHEET_ENGINE: "diffusers", CALLSHEET_MODEL_FILE: "/m.json", CALLSHEET_WEIGHTS_RAM_GB: "100.5" };
    const slots = { CALLSHEET_DEVICES: "2", CALLSHEET_DEVICE_SLOTS: "4" };
    expect(readConfig({ ...NEEDED, ...said }).engine).toMatchObject({ shelfBytes: 100_500_000_000 });
    expect(readConfig({ ...NEEDED, ...said, ...slots }).engine).toMatchObject({ shelfBytes: 12_562_500_000 });
  });

  test.each(["-1", "much", "64000000000", "Infinity"])("keeps no '%s' GB of weights", (gb) => {
    expect(() => readConfig({ ...NEEDED, CALLSHEET_WEIGHTS_RAM_GB: gb })).toThrow(/CALLSHEET_WEIGHTS_RAM_GB: /);
  });
});
