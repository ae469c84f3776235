import * as fc from "fast-check";
import { expect, test } from "vitest";
import { LIMIT_MAX, LIMIT_MIN, LatencyLimit } from "#control-plane/core/latency-limit.ts";
import { LoadGate, WAITING_MAX } from "#control-plane/core/load-gate.ts";
import { laneOf, LANES } from "#protocol/lane.ts";
import type { Lane } from "#protocol/lane.ts";

const NEVER_MS = 1e9;

function arrive(gate: LoadGate, lane: Lane, nowMs: number, deadlineMs = NEVER_MS) {
  return gate.arrive({ lane, deadlineMs }, nowMs);
}

/** As many calls of the lane as may begin. */
function fill(gate: LoadGate, lane: Lane, nowMs: number): number[] {
  const begun: number[] = [];
  for (;;) {
    const { call, admission } = arrive(gate, lane, nowMs);
    if (admission !== "begun") {
      gate.gone(call);
      return begun;
    }
    begun.push(call);
  }
}

test("under load lists find the gate shut first, then events, then reads of videos, then creates; keys are checked in any case", () => {
  const gate = new LoadGate();
  const shut: Record<string, number> = {};
  for (const lane of LANES) {
    fill(gate, lane, 0);
    shut[lane] = gate.running;
  }
  expect(shut["list"]).toBeLessThan(shut["events"] ?? 0);
  expect(shut["events"]).toBeLessThan(shut["status"] ?? 0);
  expect(shut["status"]).toBeLessThan(shut["submit"] ?? 0);
  expect(shut["submit"]).toBe(gate.limit);
  expect(shut["key"]).toBeGreaterThan(gate.limit);
});

test("a create that waits begins before reads that waited longer, and makes the oldest list give up its place", () => {
  const gate = new LoadGate();
  const [first = -1] = fill(gate, "submit", 0);
  const lists = Array.from({ length: WAITING_MAX }, () => arrive(gate, "list", 0).call);
  const create = arrive(gate, "submit", 1);
  expect(create).toMatchObject({ admission: "waits", moved: { shed: [lists[0]] } });
  expect(arrive(gate, "list", 1)).toMatchObject({ admission: "waits", moved: { shed: [lists[1]] } });
  expect(gate.ended(first, 2)).toEqual({ begun: [create.call], shed: [] });
});

test("a line full of creates sheds a list that comes, and takes a newer create for the oldest", () => {
  const gate = new LoadGate();
  fill(gate, "submit", 0);
  const [oldest] = Array.from({ length: WAITING_MAX }, () => arrive(gate, "submit", 0).call);
  expect(arrive(gate, "list", 0).admission).toBe("shed");
  expect(arrive(gate, "submit", 0)).toMatchObject({ admission: "waits", moved: { shed: [oldest] } });
  expect(gate.waiting).toBe(WAITING_MAX);
});

test("a burst is served in order; under stress the newest is first, and nobody waits for long", () => {
  const gate = new LoadGate();
  const running = fill(gate, "submit", 0);
  const [a, b] = [arrive(gate, "submit", 0).call, arrive(gate, "submit", 10).call];
  expect(gate.ended(running[0] ?? -1, 50).begun).toEqual([a]);
  // `b` gives up its place only after the line has not been empty for a tenth of a second.
  expect(gate.look(99)).toEqual({ begun: [], shed: [] });
  expect(gate.look(100).shed).toEqual([b]);
  const calm = arrive(gate, "submit", 200).call;
  expect(gate.look(299)).toEqual({ begun: [], shed: [] });
  const [older, newer] = [arrive(gate, "submit", 298).call, arrive(gate, "submit", 299).call];
  expect(gate.ended(running[1] ?? -1, 301)).toEqual({ begun: [newer], shed: [calm] });
  expect(gate.look(318)).toEqual({ begun: [], shed: [older] });
});

test("who hung up, or whose edge waits no more, is not begun", () => {
  const gate = new LoadGate();
  const running = fill(gate, "submit", 0);
  const gone = arrive(gate, "submit", 0).call;
  const late = arrive(gate, "submit", 0, 5).call;
  const patient = arrive(gate, "submit", 0).call;
  gate.gone(gone);
  expect(gate.ended(running[0] ?? -1, 6)).toEqual({ begun: [patient], shed: [late] });
  expect(gate.waiting).toBe(0);
});

test("whatever comes and goes, nobody is lost: each call begins or is shed once, and both bounds hold", () => {
  const step = fc.record({
    waitMs: fc.integer({ min: 0, max: 40 }),
    what: fc.constantFrom("arrive", "arrive", "arrive", "end", "look", "gone"),
    lane: fc.constantFrom(...LANES),
    pick: fc.nat(1_000),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
      const gate = new LoadGate();
      const running = new Set<number>();
      const waiting = new Set<number>();
      let nowMs = 0;
      const move = ({ begun, shed }: { begun: readonly number[]; shed: readonly number[] }) => {
        for (const call of shed) expect(waiting.delete(call)).toBe(true);
        for (const call of begun) {
          expect(waiting.delete(call)).toBe(true);
          running.add(call);
        }
      };
      const one = (calls: ReadonlySet<number>, pick: number) => [...calls][pick % Math.max(1, calls.size)] ?? -1;
      for (const { waitMs, what, lane, pick } of steps) {
        nowMs += waitMs;
        if (what === "arrive") {
          const { call, admission, moved } = arrive(gate, lane, nowMs, nowMs + pick);
          move(moved);
          if (admission === "begun") running.add(call);
          if (admission === "waits") waiting.add(call);
        } else if (what === "end") {
          const call = one(running, pick);
          running.delete(call);
          move(gate.ended(call, nowMs));
        } else if (what === "look") move(gate.look(nowMs));
        else {
          const call = one(waiting, pick);
          waiting.delete(call);
          gate.gone(call);
        }
        expect([gate.running, gate.waiting]).toEqual([running.size, waiting.size]);
        expect(waiting.size).toBeLessThanOrEqual(WAITING_MAX);
        expect(running.size).toBeLessThanOrEqual(1.5 * LIMIT_MAX);
      }
    }),
  );
});

/** A server that answers so many calls a second however many are under way, and no call sooner than `unloadedMs`. */
function settled(perSecond: number, unloadedMs: number, seconds: number, limit = new LatencyLimit()): LatencyLimit {
  let nowMs = 0;
  for (let quiet = 0; quiet < 100; quiet++) limit.saw({ lane: "submit", tookMs: unloadedMs, beside: 0 }, (nowMs += 50));
  for (const endMs = nowMs + seconds * 1_000; nowMs < endMs; nowMs += 1_000 / perSecond) {
    const beside = limit.limit - 1;
    limit.saw({ lane: "submit", tookMs: Math.max(unloadedMs, (limit.limit * 1_000) / perSecond), beside }, nowMs);
  }
  return limit;
}

test("the limit settles where the server is busy and calls are not much slower, also after minutes of load", () => {
  // 20 under way keep this server busy; more only make them wait.
  expect(settled(1_000, 20, 10).limit).toBeGreaterThanOrEqual(20);
  expect(settled(1_000, 20, 10).limit).toBeLessThan(80);
  expect(settled(1_000, 20, 300).limit).toBe(settled(1_000, 20, 60).limit);
  expect(settled(100, 20, 10).limit).toBeLessThan(10);
  expect(settled(1e6, 20, 20).limit).toBe(LIMIT_MAX);
});

test("calls give way when the runners' own statements slow down, and come back when they do not", () => {
  const limit = settled(1e6, 20, 20);
  for (let n = 0; n < 10; n++) limit.felt(4, 0);
  for (let n = 0; n < 40; n++) limit.felt(100, 50);
  expect(limit.limit).toBe(LIMIT_MIN);
  // However quick the calls are, the limit does not grow meanwhile.
  for (let n = 0; n < 1_000; n++) limit.saw({ lane: "submit", tookMs: 20, beside: LIMIT_MIN }, 1e6 + n * 10);
  expect(limit.limit).toBe(LIMIT_MIN);
  limit.felt(5, 50);
  for (let n = 0; n < 1_000; n++) limit.saw({ lane: "submit", tookMs: 20, beside: limit.limit }, 2e6 + n * 10);
  expect(limit.limit).toBeGreaterThan(10 * LIMIT_MIN);
});

test("few calls teach nothing: the limit does not grow while nobody needs it", () => {
  const limit = new LatencyLimit();
  const before = limit.limit;
  for (let n = 0; n < 1_000; n++) limit.saw({ lane: "status", tookMs: 5, beside: 1 }, n * 20);
  expect(limit.limit).toBe(before);
});

test.each([
  ["POST", "/edge/v1/keys/check", "key"],
  ["POST", "/edge/v1/videos", "submit"],
  ["DELETE", "/edge/v1/videos/video_1", "submit"],
  ["POST", "/edge/v1/videos/video_1/cancel", "submit"],
  ["GET", "/edge/v1/videos/video_1", "status"],
  ["GET", "/edge/v1/videos/video_1/content", "status"],
  ["GET", "/edge/v1/events?after=3", "events"],
  ["PUT", "/edge/v1/subscription", "events"],
  ["GET", "/edge/v1/videos?limit=20&order=desc", "list"],
  ["POST", "/edge/v1/videos/estimate", "list"],
  ["GET", "/edge/v1/credits/balance", "list"],
  ["POST", "/edge/v1/webhook_endpoints", "list"],
] as const)("%s %s is of the lane '%s'", (method, path, lane) => {
  expect(laneOf(method, path)).toBe(lane);
});
