/** Calls that are lent to a busy isolate: never more than the rate in any window, and none once the key is revoked. */
import * as fc from "fast-check";
import { afterEach, expect, test, vi } from "vitest";
import { counted, type Demand, type Ended, lend, LEND_MS, type Out, wantedCalls } from "#edge/core/lend.ts";
import { charge, ratePerMinute } from "#edge/core/rate-limit.ts";
import { TIER } from "./control-plane-stand-in.ts";
import { arrive } from "./customer.ts";
import { newCustomer } from "./sample.ts";

const START = 1_800_000_000_000;

afterEach(() => {
  vi.useRealTimers();
});

test("no window lets more pass than the rate, however many isolates hold lent calls and forget some", () => {
  // Stretches of calls of one isolate, close together or apart: one that was busy pauses with lent calls in hand.
  const stretch = fc.record({
    isolate: fc.nat(2),
    count: fc.integer({ min: 1, max: 60 }),
    eachMs: fc.constantFrom(0, 0, 1, 4, 20),
    pauseMs: fc.constantFrom(0, 10, 100, 240, 600),
    forgets: fc.boolean(),
  });
  let most = 0;
  fc.assert(
    fc.property(
      fc.integer({ min: 60, max: 60_000 }),
      fc.integer({ min: 1, max: 400 }),
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
    { numRuns: 500 },
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

test("a busy key passes within its rate, is told how it stands, and is cut off a moment after it was revoked", async () => {
  vi.useFakeTimers({ toFake: ["Date"], now: START });
  const { call, controlPlane, hash, push } = await arrive();
  controlPlane.limits = { ...TIER, reads_per_minute: 1_200, reads_burst: 60 };
  let [passed, refused] = [0, 0];
  for (let ms = 0; ms < 1_000; ms += 10) {
    vi.setSystemTime(START + ms);
    const answer = await call("/v1/videos/nope");
    if (answer.status === 429) refused += 1;
    else passed += 1;
    const left = Number(answer.headers.get("x-ratelimit-remaining-requests"));
    // Never more than if each call had been charged alone: 60 at once, one more every 50 ms, less what has passed.
    const alone = Math.floor(Math.min(60, 60 + ms / 50 - passed));
    expect(left).toBeLessThanOrEqual(alone + 1);
    expect(left).toBeGreaterThanOrEqual(alone - 6);
  }
  expect(passed).toBeGreaterThan(72);
  expect(passed).toBeLessThanOrEqual(80);
  expect(refused).toBe(100 - passed);
  for (let n = 0; n < 40; n++) {
    vi.setSystemTime(START + 10_000 + n * 10);
    await call("/v1/videos/nope");
  }
  controlPlane.keys.delete(hash);
  await push([{ kind: "key_revoked", key_sha256: hash }]);
  vi.setSystemTime(Date.now() + LEND_MS);
  expect((await call("/v1/videos/nope")).status).toBe(401);
});

test("one key's lent calls are not another's", async () => {
  vi.useFakeTimers({ toFake: ["Date"], now: START });
  const { call, controlPlane } = await arrive();
  for (let n = 0; n < 40; n++) {
    vi.setSystemTime(START + n * 10);
    expect((await call("/v1/videos/nope")).status).toBe(404);
  }
  const stranger = await newCustomer();
  expect((await call("/v1/videos/nope", { headers: { authorization: `Bearer ${stranger.key}` } })).status).toBe(401);
  expect(controlPlane.calls("POST", "/edge/v1/keys/check")).toHaveLength(2);
});
