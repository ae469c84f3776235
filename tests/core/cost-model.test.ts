import { describe, expect, test } from "vitest";
import { classFor } from "#control-plane/core/scheduler/cost-class.ts";
import { estimateStages } from "#control-plane/core/scheduler/cost-estimate.ts";
import { GPU_KINDS, withBuild } from "#control-plane/core/scheduler/cost-gpu.ts";
import { SeededCostModel } from "#control-plane/core/scheduler/cost-model.ts";
import { MODEL_SPECS } from "#control-plane/core/scheduler/cost-spec.ts";
import type { JobClass } from "#control-plane/core/scheduler/job-class.ts";
import { SEED_ROWS } from "#control-plane/core/scheduler/cost-table.ts";

const A14B = "wan2.2-t2v-a14b";
const SIZES = ["832x480", "1280x720", "1920x1080"] as const;
const STEPS = [1, 8, 30, 40, 100] as const;

function seconds(model: string, size: string, length: number, gpu: string, k: number, steps: number): number | null {
  const cost = new SeededCostModel();
  const found = cost.define(model, size, length);
  const runMs = found === null ? null : cost.runMs(found.id, gpu, k, steps);
  return runMs === null ? null : runMs / 1000;
}

/** |a - b| / b. */
const off = (a: number | null, b: number) => Math.abs((a ?? Number.NaN) - b) / b;

describe("published rows", () => {
  test.each(
    SEED_ROWS.map((row) => [`${row.model} ${row.shape.width}x${row.shape.height} ${row.gpu} x${row.k}`, row] as const),
  )("%s takes what its source says, to the millisecond", (_name, row) => {
    const stages = estimateStages(row.model, row.shape, row.gpu, row.k);
    const total = stages === null ? Number.NaN : stages.encodeMs + stages.decodeMs + row.steps * stages.stepMs;
    expect(total / 1000).toBeCloseTo(row.seconds, 3);
    expect(stages?.stepMs).toBeGreaterThan(0);
    expect(row.source).not.toBe("");
  });

  test("every row belongs to a model and a GPU kind that are known", () => {
    expect(SEED_ROWS.filter(({ model, gpu }) => !MODEL_SPECS.has(model) || !GPU_KINDS.has(gpu))).toEqual([]);
  });

  test("the class of a measured video runs as long as its row", () => {
    expect(off(seconds(A14B, "832x480", 5, "H100-80", 1, 40), 326.9)).toBeLessThan(0.001);
    expect(off(seconds(A14B, "1280x720", 5, "H100-80", 8, 40), 155.1)).toBeLessThan(0.001);
    expect(off(seconds("wan2.2-ti2v-5b", "1280x720", 5, "RTX4090-24", 1, 50), 534.7)).toBeLessThan(0.001);
  });
});

describe("shapes that nobody published", () => {
  // One GPU cannot hold them all; the published fit is for one, so it is asked of the estimate below the classes.
  test.each([
    ["480p, 10 s", 832, 480, 161, 815],
    ["720p, 10 s", 1280, 720, 161, 2975],
    ["1080p, 5 s", 1920, 1080, 81, 3815],
  ])("%s on one H100 is within 2 % of the fit through the two A14B rows", (_name, width, height, frames, expected) => {
    const stages = estimateStages(A14B, { width, height, frames }, "H100-80", 1);
    const total = stages === null ? null : (stages.encodeMs + stages.decodeMs + 40 * stages.stepMs) / 1000;
    expect(off(total, expected)).toBeLessThan(0.02);
  });

  test("a model that was only measured on one GPU kind is within a tenth of another source elsewhere", () => {
    // NVIDIA flashdreams: Wan2.1-1.3B at 480p takes 1.04 s a step on an H100. The seed rows are from a 4090.
    const stages = estimateStages("wan2.1-t2v-1.3b", { width: 832, height: 480, frames: 81 }, "H100-80", 1);
    expect(off((stages?.stepMs ?? 0) / 1000, 1.04)).toBeLessThan(0.1);
  });

  test("a larger, longer or finer video never takes less time, memory or money", () => {
    const cost = new SeededCostModel();
    for (const gpu of GPU_KINDS.keys()) {
      for (const k of [1, 2, 4, 8]) {
        const grid = SIZES.map((size) =>
          [1, 2, 3, 4, 5, 6, 8, 10].map((length) => {
            const found = cost.define(A14B, size, length);
            return STEPS.map((steps) => ({
              run: found === null ? null : cost.runMs(found.id, gpu, k, steps),
              charge: found === null ? Number.NaN : cost.chargeMs(found.id, steps),
              vram: found?.shapes.find((shape) => shape.k === k)?.vramBytes ?? 0,
            }));
          }),
        );
        const cells = grid.flatMap((byLength, s) =>
          byLength.flatMap((bySteps, l) =>
            bySteps.flatMap((cell, n) =>
              [grid[s + 1]?.[l]?.[n], byLength[l + 1]?.[n], bySteps[n + 1]].map((next) => [cell, next] as const),
            ),
          ),
        );
        for (const [cell, next] of cells) {
          if (next === undefined) continue;
          if (cell.run !== null && next.run !== null) expect(next.run).toBeGreaterThan(cell.run);
          expect(next.charge).toBeGreaterThan(cell.charge);
          if (cell.vram > 0) expect(next.vram).toBeGreaterThanOrEqual(cell.vram);
        }
      }
    }
  });

  test("a wider gang is faster, dearer in GPU time, and needs no more memory on each device", () => {
    const cost = new SeededCostModel();
    for (const size of SIZES) {
      for (const length of [5, 10]) {
        const found = cost.define(A14B, size, length);
        const gangs = (found?.shapes ?? []).flatMap(({ k, vramBytes }) => {
          const run = cost.runMs(found?.id ?? "", "H100-80", k, 40);
          return run === null ? [] : [{ k, vramBytes, run }];
        });
        expect(gangs.length).toBeGreaterThan(0);
        gangs.slice(1).forEach((wide, n) => {
          const narrow = gangs[n]!;
          expect(wide.run).toBeLessThan(narrow.run);
          expect(wide.run * wide.k).toBeGreaterThan(narrow.run * narrow.k);
          expect(wide.vramBytes).toBeLessThanOrEqual(narrow.vramBytes);
        });
      }
    }
  });
});

describe("classes", () => {
  test.each([
    ["832x480", 5, [1, 2, 4, 8]],
    ["832x480", 10, [1, 2, 4, 8]],
    ["1280x720", 5, [1, 2, 4, 8]],
    ["1280x720", 10, [2, 4, 8]],
    ["1920x1080", 5, [2, 4, 8]],
    ["1920x1080", 10, [8]],
    ["1920x1080", 60, [8]],
  ])("A14B %s, %i s fits gangs of %j on hosts with 80 GB", (size, length, gangs) => {
    const cost = new SeededCostModel();
    const found = cost.define(A14B, size, length);
    expect([1, 2, 4, 8].filter((k) => cost.runMs(found?.id ?? "", "H100-80", k, 40) !== null)).toEqual(gangs);
  });

  test("a minute of 1080p is six chained segments of ten seconds", () => {
    const [segment, film] = [classFor(A14B, "1920x1080", 10), classFor(A14B, "1920x1080", 60)];
    expect(film).toMatchObject({ id: `${A14B}|1080p/60s`, segments: 6, resume: "exact", shape: segment?.shape });
    const one = seconds(A14B, "1920x1080", 10, "H100-80", 8, 40)!;
    expect(off(seconds(A14B, "1920x1080", 60, "H100-80", 8, 40), 6 * one)).toBeLessThan(1e-4);
  });

  test("step-distilled weights halve the step, not the decoding", () => {
    const shape = { width: 832, height: 480, frames: 81 };
    const [plain, distilled] = [A14B, `${A14B}-distilled`].map((model) => estimateStages(model, shape, "H100-80", 1));
    expect(distilled?.stepMs).toBeCloseTo((plain?.stepMs ?? 0) / 2, -2);
    expect(distilled?.decodeMs).toBe(plain?.decodeMs);
  });

  test("a square or a portrait is in the bucket of its landscape", () => {
    for (const size of ["480x832", "480x480"]) expect(classFor(A14B, size, 5)).toEqual(classFor(A14B, "832x480", 5));
  });

  test("asking again gives the same class; a size too wide for its bucket gives none, asked before or after", () => {
    const cost = new SeededCostModel();
    expect(cost.define(A14B, "9999x480", 5)).toBeNull();
    const found = cost.define(A14B, "832x480", 5);
    expect(cost.define(A14B, "480x832", 5)).toBe(found);
    expect(cost.define(A14B, "9999x480", 5)).toBeNull();
  });

  test("without NVLink, or under 30,000 tokens, a job runs on one GPU", () => {
    expect(seconds("wan2.1-t2v-1.3b", "832x480", 5, "RTX4090-24", 1, 50)).toBeCloseTo(261.4, 2);
    expect(seconds("wan2.1-t2v-1.3b", "832x480", 5, "RTX4090-24", 2, 50)).toBeNull();
    expect(classFor("wan2.2-ti2v-5b", "1280x720", 5)?.shapes.map(({ k }) => k)).toEqual([1]);
  });

  test("a video that does not fit the memory of a GPU has no time there", () => {
    expect(seconds(A14B, "832x480", 5, "RTX4090-24", 1, 40)).toBeNull();
    expect(seconds(A14B, "832x480", 5, "L20-48", 1, 40)).toBeGreaterThan(326.9);
  });

  test("nothing is invented for unknown models, sizes, lengths and GPUs", () => {
    expect(classFor("sora-2", "1280x720", 5)).toBeNull();
    expect(classFor(A14B, "1000x1000", 5)).toBeNull();
    expect(classFor(A14B, "9999x480", 5)).toBeNull();
    expect(classFor(A14B, "wide", 5)).toBeNull();
    for (const length of [0, 2.5, 15, 70]) expect(classFor(A14B, "832x480", length)).toBeNull();
    expect(seconds(A14B, "832x480", 5, "B300-288", 1, 40)).toBeNull();
    expect(seconds(A14B, "832x480", 5, "H100-80", 3, 40)).toBeNull();
    // Known only at the shape somebody measured, and not at all where nobody published its memory.
    expect(seconds("cogvideox-5b", "720x480", 6, "H100-80", 1, 50)).toBeCloseTo(90, 2);
    expect(classFor("cogvideox-5b", "720x480", 10)).toBeNull();
    expect(classFor("cogvideox-5b", "832x480", 6)).toBeNull();
    expect(classFor("hunyuanvideo-1.5", "832x480", 5)).toBeNull();
    const cost = new SeededCostModel();
    expect(cost.runMs("sora-2|720p/5s", "H100-80", 1, 40)).toBeNull();
    expect(() => cost.chargeMs("sora-2|720p/5s", 40)).toThrow("was never defined");
  });
});

describe("money and loading", () => {
  test("the charge is the cheapest gang on an H100, whatever the job ran on, and follows the steps", () => {
    const cost = new SeededCostModel();
    const wide = cost.define(A14B, "1280x720", 10)!;
    expect(off(cost.chargeMs(wide.id, 40), 2 * cost.runMs(wide.id, "H100-80", 2, 40)!)).toBeLessThan(1e-5);
    expect(cost.chargeMs(wide.id, 20)).toBeLessThan(cost.chargeMs(wide.id, 40));
  });

  test("a slow engine changes the estimate and never the charge", () => {
    const [seeded, corrected] = [new SeededCostModel(), new SeededCostModel()];
    const { id } = seeded.define(A14B, "832x480", 5)!;
    corrected.define(A14B, "832x480", 5);
    const slow = { build: "slow 1.0", model: A14B, gpu: "H100-80", k: 1, stage: "denoise", predictedMs: 100 } as const;
    for (let n = 0; n < 30; n++) corrected.observe({ ...slow, observedMs: 150 });
    const onSlow = withBuild("H100-80", "slow 1.0");
    expect(off(corrected.runMs(id, onSlow, 1, 40), 1.5 * seeded.runMs(id, onSlow, 1, 40)!)).toBeLessThan(1e-2);
    for (const [gpu, k] of [
      ["H100-80", 1],
      [onSlow, 4],
      [withBuild("A100-80", "slow 1.0"), 1],
    ] as const) {
      expect(corrected.runMs(id, gpu, k, 40)).toBe(seeded.runMs(id, gpu, k, 40));
    }
    expect(corrected.chargeMs(id, 40)).toBe(seeded.chargeMs(id, 40));
  });

  test("loading follows the weights: 56 s for A14B, less for a small model, each with its source", () => {
    const cost = new SeededCostModel();
    expect(cost.loadMs(cost.define(A14B, "832x480", 5)!.id)).toBe(56_000);
    expect(cost.loadMs(cost.define("wan2.1-t2v-1.3b", "832x480", 5)!.id)).toBeLessThan(20_000);
    for (const spec of MODEL_SPECS.values()) expect(spec.loadSource).not.toBe("");
    for (const kind of GPU_KINDS.values()) expect(kind.source).not.toBe("");
  });

  test("an operator's figures hold for the gangs they name, and follow what runs were seen to take", () => {
    const cost = new SeededCostModel();
    const jobClass: JobClass = {
      id: "reference|192p/1s",
      model: "reference",
      shapes: [1, 2].map((k) => ({ k, vramBytes: 1 })),
      resume: "exact",
      batchMax: 1,
    };
    const gangs = new Map([
      [1, { encodeMs: 30, stepMs: 16, decodeMs: 50 }],
      [2, { encodeMs: 30, stepMs: 8, decodeMs: 50 }],
    ]);
    cost.declare(jobClass, { gangs, loadMs: 5, charge: { fixedMs: 0, stepMs: 750 / 30 } });
    const gpu = withBuild("CPU", "reference-1");
    const runs = () => [1, 2, 4].map((k) => cost.runMs(jobClass.id, gpu, k, 8));
    expect(runs()).toEqual([208, 144, null]);
    expect([cost.chargeMs(jobClass.id, 7), cost.loadMs(jobClass.id)]).toEqual([175, 5]);
    const outcome = { build: "reference-1", model: "reference", gpu: "CPU", k: 2, stage: "denoise" } as const;
    cost.observe({ ...outcome, predictedMs: 64, observedMs: 128 });
    expect(runs()).toEqual([208, 216, null]);
    cost.observe({ ...outcome, stage: "decode", predictedMs: 50, observedMs: 5_000 });
    expect(runs()).toEqual([208, 216, null]);
    expect(cost.chargeMs(jobClass.id, 8)).toBe(200);
  });

  test("figures declared for the reference GPU are scaled by the law for other kinds", () => {
    const cost = new SeededCostModel();
    const jobClass: JobClass = { id: "m|c", model: "m", shapes: [{ k: 1, vramBytes: 1 }], resume: "none", batchMax: 1 };
    const gangs = new Map([[1, { encodeMs: 0, stepMs: 1_000, decodeMs: 0 }]]);
    cost.declare(jobClass, { gangs, loadMs: 0, charge: { fixedMs: 0, stepMs: 1_000 } });
    expect(cost.runMs("m|c", "H100-80", 1, 10)).toBe(10_000);
    expect(cost.runMs("m|c", withBuild("A100-80", "any"), 1, 10)).toBeGreaterThan(20_000);
  });
});
