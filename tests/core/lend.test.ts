/** Calls that are lent to busy isolates: however they are used, given back or forgotten, the rate is never exceeded. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { counted, type Demand, type Ended, lend, LEND_MS, type Out, wantedCalls } from "#edge/core/lend.ts";
import { charge, ratePerMinute } from "#edge/core/rate-limit.ts";

const START = 1_800_000_000_000;

test("no window lets more pass than the rate, however many isolates hold lent calls and forget some", () => {
  // Stretches of calls of one isolate, close together or apart: one that was busy pauses with lent calls in hand.
  const stretch = fc.record({
    isolate: fc.nat(2),
    count: fc.integer({ min: 1, max: 120 }),
    eachMs: fc.constantFrom(0, 0, 1, 4, 10),
    pauseMs: fc.constantFrom(0, 60, 150, 240, 300, 600),
    forgets: fc.boolean(),
  });
  let most = 0;
  fc.assert(
    fc.property(
      fc.constantFrom(600, 6_000, 12_000, 60_000),
      fc.integer({ min: 1, max: 120 }),
      fc.array(stretch, { maxLength: 12 }),
      (perMinute, burst, stretches) => {
        const calls = stretches.flatMap(({ isolate, count, eachMs, pauseMs, forgets }) =>
          Array.from({ length: count }, (_, n) => ({
            isolate,
            waitMs: n === 0 ? pauseMs : eachMs,
            forgets: n === 0 && forgets,
          })),
        );
        const rate = ratePerMinute(perMinute, burst);
        let tat: number | undefined;
        let out: Out | null = null;
        let now = START;
        const isolates = Array.from({ length: 3 }, () => ({
          demand: null as Demand | null,
          left: 0,
          ended: null as Omit<Ended, "unusedMicros"> | null,
          untilMs: 0,
        }));
        const passed: number[] = [];
        for (const { isolate, waitMs, forgets } of calls) {
          now += waitMs;
          const own = isolates[isolate];
          if (own === undefined) continue;
          // An isolate that is evicted gives nothing back.
          if (forgets) Object.assign(own, { left: 0, ended: null });
          own.demand = counted(own.demand, now);
          if (own.left > 0 && now < own.untilMs) {
            own.left -= 1;
            passed.push(now);
            continue;
          }
          const ended = own.ended === null ? null : { ...own.ended, unusedMicros: own.left * rate.intervalMicros };
          const lent = lend(tat, out, rate, { calls: wantedCalls(own.demand), ended }, now);
          tat = lent.charge.tatMicros;
          out = lent.out;
          const left = Math.max(0, lent.calls - 1);
          const loan = left === 0 || out === null ? null : { sinceMs: out.sinceMs, calls: left };
          Object.assign(own, { left, ended: loan, untilMs: now + LEND_MS });
          most = Math.max(most, lent.calls);
          if (lent.calls > 0) passed.push(now);
        }
        // What a counter that sees each call when it is made would have let pass.
        let strict: number | undefined;
        for (const at of passed) {
          const seen = charge(strict, rate, at);
          if (!seen.ok) throw new Error(`one too many at ${at - START} ms`);
          strict = seen.tatMicros;
        }
      },
    ),
    { numRuns: 2_000 },
  );
  // They were really lent.
  expect(most).toBeGreaterThan(10);
});

test("calls are lent to whoever was busy a moment ago, from the better half of the burst", () => {
  let demand = counted(null, 0);
  for (let n = 1; n < 30; n++) demand = counted(demand, n * 8);
  expect(wantedCalls(demand)).toBe(1);
  demand = counted(demand, LEND_MS);
  expect(wantedCalls(demand)).toBe(30);
  const lentOf = (burst: number, used: number) => {
    const rate = ratePerMinute(6_000, burst);
    return lend(START * 1_000 + used * rate.intervalMicros, null, rate, { calls: 30, ended: null }, START).calls;
  };
  expect([lentOf(200, 0), lentOf(1_000, 100), lentOf(200, 95)]).toEqual([20, 30, 5]);
  expect([lentOf(200, 100), lentOf(200, 199), lentOf(200, 200), lentOf(5, 0)]).toEqual([1, 1, 0, 1]);
  expect(wantedCalls(counted(demand, 10 * LEND_MS))).toBe(1);
});
