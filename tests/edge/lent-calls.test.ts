/** Calls that are lent to a busy isolate: never more than the rate in any window, and none once the key is revoked. */
import * as fc from "fast-check";
import { afterEach, expect, test, vi } from "vitest";
import { counted, type Demand, LEND_MS, lentCalls, wantedCalls } from "#edge/core/lend.ts";
import { charge, look, ratePerMinute } from "#edge/core/rate-limit.ts";
import { TIER } from "./control-plane-stand-in.ts";
import { arrive } from "./customer.ts";
import { newCustomer } from "./sample.ts";

const START = 1_800_000_000_000;

afterEach(() => {
  vi.useRealTimers();
});

test("no window lets more pass than the rate, however many isolates hold lent calls and forget some", () => {
  const call = fc.record({ isolate: fc.nat(3), waitMs: fc.nat(120), forgets: fc.nat(15) });
  fc.assert(
    fc.property(
      fc.integer({ min: 60, max: 60_000 }),
      fc.integer({ min: 1, max: 400 }),
      fc.array(call, { maxLength: 400 }),
      (perMinute, burst, calls) => {
        const rate = ratePerMinute(perMinute, burst);
        let tat: number | undefined;
        let now = START;
        const isolates = Array.from({ length: 4 }, () => ({ demand: null as Demand | null, lent: 0, untilMs: 0 }));
        const passed: number[] = [];
        for (const { isolate, waitMs, forgets } of calls) {
          now += waitMs;
          const own = isolates[isolate];
          if (own === undefined) continue;
          // An isolate that is evicted gives nothing back.
          if (forgets === 0) own.lent = 0;
          own.demand = counted(own.demand, now);
          if (own.lent > 0 && now < own.untilMs) {
            own.lent -= 1;
            passed.push(now);
            continue;
          }
          if (tat !== undefined) tat -= own.lent * rate.intervalMicros;
          const lent = lentCalls(wantedCalls(own.demand), burst, look(tat, rate, now).remaining);
          const charged = charge(tat, rate, now, lent);
          tat = charged.tatMicros;
          Object.assign(own, { lent: charged.ok ? lent - 1 : 0, untilMs: now + LEND_MS });
          if (charged.ok) passed.push(now);
        }
        passed.forEach((from, first) => {
          // A lent call may be used up to `LEND_MS` after it was charged.
          const to = passed.at(-1) ?? from;
          const most = burst + ((to - from + LEND_MS) * perMinute) / 60_000 + 1e-6;
          expect(passed.length - first).toBeLessThanOrEqual(most);
        });
      },
    ),
    { numRuns: 500 },
  );
});

test("calls are lent to whoever was busy a moment ago, from the better half of the burst", () => {
  let demand = counted(null, 0);
  for (let n = 1; n < 30; n++) demand = counted(demand, n * 8);
  expect(wantedCalls(demand)).toBe(1);
  demand = counted(demand, LEND_MS);
  expect(wantedCalls(demand)).toBe(30);
  expect([lentCalls(30, 200, 200), lentCalls(30, 1_000, 900), lentCalls(30, 200, 105)]).toEqual([20, 30, 5]);
  expect([lentCalls(30, 200, 100), lentCalls(30, 200, 0), lentCalls(30, 5, 5)]).toEqual([1, 1, 1]);
  expect(wantedCalls(counted(demand, 10 * LEND_MS))).toBe(1);
});

test("a busy key passes within its rate, is told how it stands, and is cut off a moment after it was revoked", async () => {
  vi.useFakeTimers({ toFake: ["Date"], now: START });
  const { call, controlPlane, hash, push } = await arrive();
  controlPlane.limits = { ...TIER, reads_per_minute: 6_000, reads_burst: 100 };
  let [passed, refused] = [0, 0];
  for (let ms = 0; ms < 2_000; ms += 5) {
    vi.setSystemTime(START + ms);
    const answer = await call("/v1/videos/nope");
    if (answer.status === 429) refused += 1;
    else passed += 1;
    const left = Number(answer.headers.get("x-ratelimit-remaining-requests"));
    // As if each call had been charged alone: 100 at once, one more every 10 ms, less what has passed.
    expect(Math.abs(left - Math.floor(Math.min(100, 100 + ms / 10 - passed)))).toBeLessThanOrEqual(1);
  }
  expect(passed).toBeGreaterThan(290);
  expect(passed).toBeLessThanOrEqual(300);
  expect(refused).toBe(400 - passed);
  vi.setSystemTime(START + 10_000);
  for (let n = 0; n < 60; n++) {
    vi.setSystemTime(START + 10_000 + n * 5);
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
  for (let n = 0; n < 100; n++) {
    vi.setSystemTime(START + n * 5);
    expect((await call("/v1/videos/nope")).status).toBe(404);
  }
  const stranger = await newCustomer();
  expect((await call("/v1/videos/nope", { headers: { authorization: `Bearer ${stranger.key}` } })).status).toBe(401);
  expect(controlPlane.calls("POST", "/edge/v1/keys/check")).toHaveLength(2);
});
