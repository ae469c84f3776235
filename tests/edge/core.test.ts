import * as fc from "fast-check";
import { expect, test } from "vitest";
import { nextPageAfter, onPage, onPush } from "#edge/core/event-cursor.ts";
import { objectOfForm } from "#edge/core/form.ts";
import { JSON_DEPTH_MAX, JSON_VALUES_MAX, jsonShape } from "#edge/core/json-shape.ts";
import { charge, goDuration, ratePerMinute } from "#edge/core/rate-limit.ts";
import { mayRetry, pauseMs } from "#edge/core/retry.ts";

const START = 1_800_000_000_000;

test("no window of any length admits more than its burst and rate, and every named wait is exact", () => {
  const steps = fc.array(fc.integer({ min: 0, max: 30_000 }), { maxLength: 60 });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 600 }), fc.integer({ min: 1, max: 20 }), steps, (perMinute, burst, waits) => {
      const rate = ratePerMinute(perMinute, burst);
      const admitted: number[] = [];
      const waitsNamed: boolean[][] = [];
      let [tat, now]: [number | undefined, number] = [undefined, START];
      for (const wait of waits) {
        now += wait;
        const charged = charge(tat, rate, now);
        tat = charged.tatMicros;
        if (charged.ok) admitted.push(now);
        else
          waitsNamed.push([charge(tat, rate, now + charged.waitMs - 1).ok, charge(tat, rate, now + charged.waitMs).ok]);
        expect(charged.remaining).toBeGreaterThanOrEqual(0);
      }
      expect(waitsNamed).toEqual(waitsNamed.map(() => [false, true]));
      admitted.forEach((from, first) => {
        admitted.slice(first).forEach((to, more) => {
          expect(more + 1).toBeLessThanOrEqual(burst + ((to - from) * perMinute) / 60_000 + 1e-9);
        });
      });
    }),
  );
});

test("a clock that jumped back or a smaller tier never locks an account out for longer than its new burst", () => {
  const refused = charge((START + 3_600_000) * 1_000, ratePerMinute(60, 5), START);
  expect(refused).toMatchObject({ ok: false, waitMs: 1_000 });
});

test.each([
  [0, "0ms"],
  [120, "120ms"],
  [1_500, "1.5s"],
  [360_000, "6m0s"],
])("%i ms read as %s", (ms, text) => {
  expect(goDuration(ms)).toBe(text);
});

test("only the next number is delivered from a push; a page delivers whatever is new", () => {
  expect([onPush(4, 4), onPush(4, 5), onPush(4, 6)]).toEqual(["duplicate", "deliver", "gap"]);
  expect([onPage(4, 4, 4), onPage(4, 4, 6), onPage(3, 4, 5)]).toEqual(["duplicate", "deliver", "gap"]);
  expect([nextPageAfter([], 5), nextPageAfter([5, 5], 5), nextPageAfter([5, 2, 3], 5)]).toEqual([null, null, 2]);
});

test("a form may name a field like a part of the language without harm", () => {
  const read = objectOfForm([
    ["__proto__", "x"],
    ["metadata[__proto__]", "y"],
    ["metadata[constructor]", "z"],
  ]);
  expect(read.ok && Object.keys(read.value)).toEqual(["__proto__", "metadata"]);
  expect({}).not.toHaveProperty("x");
});

test("depth counts brackets, not text", () => {
  const depthOf = (text: string) => jsonShape(text).depth;
  expect([depthOf('"[[["'), depthOf('{"a\\"[":[1]}'), depthOf("[[],[[]]]")]).toEqual([0, 2, 3]);
  expect(depthOf("[".repeat(1_000))).toBe(JSON_DEPTH_MAX + 1);
  expect([jsonShape("{}").values, jsonShape('{"a":1,"b":[2,3]}').values]).toEqual([2, 5]);
  expect(jsonShape(`[${"0,".repeat(100_000)}0]`).values).toBe(JSON_VALUES_MAX + 1);
});

test("a 503 is always tried again, a lost answer only where that does no harm, a refusal never", () => {
  expect(mayRetry({ kind: "answered", status: 503 }, false)).toBe(true);
  expect(mayRetry({ kind: "answered", status: 500 }, true)).toBe(false);
  expect([mayRetry({ kind: "unreached" }, true), mayRetry({ kind: "unreached" }, false)]).toEqual([true, false]);
  expect([pauseMs(1, 2), pauseMs(2, 2), pauseMs(3, 2), pauseMs(20, 2)]).toEqual([0, 100, 200, 800]);
});
