/** P6 of what is charged: parts of a job never cost less than the whole, a larger class never less than a smaller one. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { SeededCostModel } from "#control-plane/core/scheduler/cost-model.ts";
import type { CostModel } from "#control-plane/core/scheduler/job-class.ts";
import { check } from "./check.ts";
import { COST } from "./studio.ts";
import { World } from "./world.ts";

const SIZES = ["832x480", "1280x720", "1920x1080"];
const SECONDS = [5, 10];
const STEPS_MAX = 100;

/** Class ids from small to large, for each way of getting larger. */
const seeded = new SeededCostModel();
const idOf = (size: string, seconds: number) => seeded.define("wan2.2-t2v-a14b", size, seconds)?.id ?? "";
const LARGER: readonly (readonly string[])[] = [
  ...SECONDS.map((seconds) => SIZES.map((size) => idOf(size, seconds))),
  ...SIZES.map((size) => SECONDS.map((seconds) => idOf(size, seconds))),
];
const CLASS_IDS = LARGER.flat();

const declared = new SeededCostModel();
CLASS_IDS.forEach((id, n) => {
  const stepMs = (10_007 * (n + 1)) / 30;
  const gangs = new Map([[1, { encodeMs: 0, stepMs, decodeMs: 0 }]]);
  const jobClass = { id, model: "m", shapes: [{ k: 1, vramBytes: 1 }], resume: "exact", batchMax: 1 } as const;
  declared.declare(jobClass, { gangs, loadMs: 0, charge: { fixedMs: 0, stepMs } });
});

test.each<[string, CostModel]>([
  ["the cost tables", seeded],
  ["the declared costs", declared],
])("by %s a job in parts never costs less than in one", (_name, cost) => {
  const steps = fc.integer({ min: 1, max: STEPS_MAX });
  check(
    300,
    fc.property(fc.constantFrom(...CLASS_IDS), steps, steps, (id, some, others) => {
      const whole = cost.chargeMs(id, some + others);
      expect(cost.chargeMs(id, some) + cost.chargeMs(id, others)).toBeGreaterThanOrEqual(whole);
      expect(whole).toBeGreaterThan(0);
    }),
  );
});

test("a larger or longer video never costs less", () => {
  check(
    300,
    fc.property(fc.constantFrom(...LARGER), fc.integer({ min: 1, max: STEPS_MAX }), (ids, steps) => {
      const charges = ids.map((id) => seeded.chargeMs(id, steps));
      expect(charges).toEqual(charges.toSorted((a, b) => a - b));
    }),
  );
});

test("an account that splits its jobs, or asks for a larger class, does not come out ahead", () => {
  const jobs = fc.array(fc.integer({ min: 2, max: 60 }), { minLength: 1, maxLength: 12 });
  check(
    100,
    fc.property(jobs, (steps) => {
      const whole = tagAfter(steps, "small");
      expect(
        tagAfter(
          steps.flatMap((count) => [1, count - 1]),
          "small",
        ),
      ).toBeGreaterThanOrEqual(whole);
      expect(tagAfter(steps, "gang")).toBeGreaterThan(whole);
      expect(whole).toBe(steps.reduce((sum, count) => sum + COST.chargeMs("small", count) * 100, 0));
    }),
  );
});

/** Where the account stands when all is done. */
function tagAfter(steps: readonly number[], classId: string): number {
  const world = new World({ accounts: { a5: "pro" } });
  for (const count of steps) world.submit({ account: "a5", class: classId, steps: count, weights: "w" });
  world.settle();
  expect(world.drain(10_000_000)).toBe(true);
  return world.clock().accounts[0]?.tag ?? 0;
}
