import { expect, test } from "vitest";
import { GPU_KINDS } from "#control-plane/core/scheduler/cost-gpu.ts";
import { forwardWork, gangEfficiency, lawStepSeconds, tokensOf } from "#control-plane/core/scheduler/cost-law.ts";
import { MODEL_SPECS } from "#control-plane/core/scheduler/cost-spec.ts";

const SHAPES = {
  "480p": { width: 832, height: 480, frames: 81 },
  "720p": { width: 1280, height: 720, frames: 81 },
  "1080p": { width: 1920, height: 1080, frames: 81 },
  hunyuan: { width: 1280, height: 720, frames: 129 },
} as const;

const lawOf = (model: string) => {
  const spec = MODEL_SPECS.get(model)!;
  return { transformer: spec.transformer!, passes: spec.passes };
};

function jobSeconds(model: string, shape: keyof typeof SHAPES, gpu: string, steps: number): number {
  const { transformer, passes } = lawOf(model);
  return steps * lawStepSeconds(transformer, passes, tokensOf(transformer, SHAPES[shape]), GPU_KINDS.get(gpu)!);
}

test.each([
  ["wan2.1-t2v-14b", "480p", 32_760, 797, 879],
  ["wan2.1-t2v-14b", "720p", 75_600, 1839, 4682],
  ["hunyuanvideo-13b", "hunyuan", 119_056, 1620, 10_450],
] as const)("%s at %s has the published tokens and work", (model, shape, tokens, linear, attention) => {
  const { transformer } = lawOf(model);
  const found = tokensOf(transformer, SHAPES[shape]);
  expect(found).toBe(tokens);
  const work = forwardWork(transformer, found);
  expect(Math.abs(work.linear / linear - 1)).toBeLessThan(0.005);
  expect(Math.abs(work.attention / attention - 1)).toBeLessThan(0.005);
});

test("1080p is padded to whole patches", () => {
  expect(tokensOf(lawOf("wan2.2-t2v-a14b").transformer, SHAPES["1080p"])).toBe(21 * 120 * 68);
});

// The rates were solved from the two A14B rows of each GPU; these are the law's own predictions, without rows.
test.each([
  ["wan2.2-t2v-a14b", "480p", "H100-80", 40, 326.9, 0.01],
  ["wan2.2-t2v-a14b", "720p", "A100-80", 40, 2735.7, 0.01],
  ["wan2.2-t2v-a14b", "720p", "H20-96", 40, 4048.7, 0.01],
  ["wan2.1-t2v-14b", "720p", "A100-80", 50, 3342.6, 0.06],
  ["hunyuanvideo-13b", "hunyuan", "H100-80", 50, 945, 0.07],
  ["wan2.1-t2v-14b", "720p", "H100-80", 50, 1837.9, 0.5],
  ["wan2.1-t2v-14b", "720p", "H20-96", 50, 6935.5, 0.5],
] as const)(
  "the law alone puts %s at %s on %s (%i steps) near %d s",
  (model, shape, gpu, steps, published, tolerance) => {
    expect(Math.abs(jobSeconds(model, shape, gpu, steps) / published - 1)).toBeLessThan(tolerance);
  },
);

test("a gang's efficiency falls with its width, rises with the tokens, and is unknown for odd gangs", () => {
  for (const tokens of [10_000, 32_760, 50_000, 75_600, 300_000]) {
    const curve = [1, 2, 4, 8].map((k) => gangEfficiency(k, tokens)!);
    expect(curve).toEqual(curve.toSorted((a, b) => b - a));
    expect(gangEfficiency(8, tokens * 2)!).toBeGreaterThanOrEqual(gangEfficiency(8, tokens)!);
  }
  expect(gangEfficiency(3, 75_600)).toBeNull();
});
