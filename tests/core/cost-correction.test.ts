import fc from "fast-check";
import { expect, test } from "vitest";
import {
  CostCorrection,
  KEYS_MAX,
  OUTCOMES_MAX,
  P90_PRIOR,
  QUANTILE_SAMPLES_MIN,
  RATIO_MAX,
  RATIO_MIN,
} from "#control-plane/core/scheduler/cost-correction.ts";
import type { Outcome } from "#control-plane/core/scheduler/cost-correction.ts";

const KEY = { build: "diffusers 0.40", model: "wan2.2-t2v-a14b", gpu: "H100-80", k: 1 } as const;
const outcome = (ratio: number, over: Partial<Outcome> = {}): Outcome => ({
  ...KEY,
  stage: "denoise",
  predictedMs: 1_000,
  observedMs: 1_000 * ratio,
  ...over,
});

test("before anything was observed the seed is believed, with a wide p90", () => {
  const correction = new CostCorrection();
  expect([correction.factor(KEY), correction.spread(KEY)]).toEqual([1, P90_PRIOR]);
});

test("the estimate comes within 2 % of a constant error in twenty outcomes", () => {
  fc.assert(
    fc.property(fc.double({ min: RATIO_MIN, max: RATIO_MAX, noNaN: true }), (ratio) => {
      const correction = new CostCorrection();
      for (let n = 0; n < 20; n++) correction.observe(outcome(ratio));
      expect(Math.abs(correction.factor(KEY) / ratio - 1)).toBeLessThan(0.02);
    }),
    { seed: 1 },
  );
});

test("nine of ten outcomes of a noisy engine end by the p90, once it has seen some", () => {
  const correction = new CostCorrection();
  // A low-discrepancy spread over 0.8 to 1.6 of the seed.
  const ratios = Array.from({ length: 400 }, (_, n) => 0.8 + 0.8 * ((n * 0.618_033_988_75) % 1));
  let held = 0;
  ratios.forEach((ratio, n) => {
    if (n >= 100 && ratio <= correction.factor(KEY) * correction.spread(KEY)) held++;
    correction.observe(outcome(ratio));
  });
  expect(held / 300).toBeGreaterThan(0.85);
  expect(held / 300).toBeLessThan(0.95);
});

test("what one build, GPU or gang learns says nothing about another", () => {
  const correction = new CostCorrection();
  for (let n = 0; n < QUANTILE_SAMPLES_MIN; n++) correction.observe(outcome(2));
  for (const other of [{ build: "sglang 0.6" }, { gpu: "A100-80" }, { k: 8 }, { model: "wan2.1-t2v-14b" }]) {
    expect(correction.factor({ ...KEY, ...other })).toBe(1);
  }
});

test("a stalled run moves the estimate at most as far as the clamp lets it", () => {
  const correction = new CostCorrection();
  for (let n = 0; n < 30; n++) correction.observe(outcome(1));
  correction.observe(outcome(1_000));
  expect(correction.factor(KEY)).toBeLessThanOrEqual(1 + 0.2 * (RATIO_MAX - 1) + 1e-9);
});

test("loads and nonsense are not learnt from; predictions and outcomes stay readable by stage", () => {
  const correction = new CostCorrection();
  correction.observe(outcome(3, { stage: "load" }));
  correction.observe(outcome(3, { stage: "decode" }));
  correction.observe(outcome(1, { predictedMs: 0 }));
  correction.observe(outcome(1, { observedMs: Number.NaN }));
  expect(correction.factor(KEY)).toBe(1);
  expect(correction.outcomes().map(({ stage }) => stage)).toEqual(["load", "decode"]);
});

test("it remembers a bounded number of outcomes and keys, the latest ones", () => {
  const correction = new CostCorrection();
  for (let n = 0; n < KEYS_MAX + 10; n++) correction.observe(outcome(2, { build: `build ${n}`, observedMs: n }));
  const kept = correction.outcomes();
  expect(kept).toHaveLength(OUTCOMES_MAX);
  expect([kept[0]?.observedMs, kept.at(-1)?.observedMs]).toEqual([KEYS_MAX + 10 - OUTCOMES_MAX, KEYS_MAX + 9]);
  expect(correction.factor({ ...KEY, build: "build 0" })).toBe(1);
  expect(correction.factor({ ...KEY, build: `build ${KEYS_MAX + 9}` })).toBeGreaterThan(1);
});
