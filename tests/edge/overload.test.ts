import * as fc from "fast-check";
import { afterEach, expect, test, vi } from "vitest";
import { ask, type Breaker, CLOSED, DOUBT_MS, heard, OPEN_PROBE_MS, type Outcome } from "#edge/core/breaker.ts";
import { earn, FULL_BUDGET, mayRetry, spend } from "#edge/core/retry.ts";
import { counted, sheds, UNTHROTTLED } from "#edge/core/throttle.ts";
import { ErrorEnvelope } from "#protocol/error.ts";
import { TIER } from "./control-plane-stand-in.ts";
import { arrive } from "./customer.ts";
import { hasten } from "./hasten.ts";
import { VIDEO_ID } from "./sample.ts";

// Hundreds of calls each, on machines with much else to do.
vi.setConfig({ testTimeout: 30_000 });

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const SOUND: Outcome = { kind: "sound" };
const FAILED: Outcome = { kind: "failed" };

function after(breaker: Breaker, outcomes: readonly Outcome[], nowMs = 0): Breaker {
  return outcomes.reduce((seen, outcome) => heard(seen, outcome, nowMs), breaker);
}

const DOUBTFUL = after(CLOSED, [FAILED, FAILED, FAILED, FAILED, FAILED]);
const OPEN = ask(ask(DOUBTFUL, 0).breaker, DOUBT_MS).breaker;

test("five failures in a row are doubted, half of ten are, four and a few are not", () => {
  expect(DOUBTFUL.state).toBe("doubtful");
  expect(after(CLOSED, [FAILED, FAILED, FAILED, FAILED, SOUND, FAILED]).state).toBe("closed");
  const mixed = Array.from({ length: 19 }, (_, n): Outcome => (n % 2 === 0 ? FAILED : SOUND));
  expect(after(CLOSED, mixed).state).toBe("doubtful");
  const few = Array.from({ length: 100 }, (_, n): Outcome => (n % 4 === 0 ? FAILED : SOUND));
  expect(after(CLOSED, few).state).toBe("closed");
});

test("one account that waits for its own locks opens nothing, five accounts that wait do", () => {
  const late = (account: string): Outcome => ({ kind: "late", account });
  expect(
    after(
      CLOSED,
      Array.from({ length: 1_000 }, () => late("acct_1")),
    ).state,
  ).toBe("closed");
  expect(after(CLOSED, ["1", "2", "3", "4", "5"].map(late)).state).toBe("doubtful");
});

test("a doubted replica is probed four times a second while others wait, and trusted again by one sound answer", () => {
  const first = ask(DOUBTFUL, 0);
  expect(first.verdict).toBe("probe");
  expect([ask(first.breaker, 100).verdict, ask(first.breaker, 250).verdict]).toEqual(["wait", "probe"]);
  expect(heard(first.breaker, SOUND, 100).state).toBe("closed");
  expect(heard(first.breaker, FAILED, 100).state).toBe("doubtful");
});

test("what is doubted for fifteen seconds is refused at once, but for a probe a second", () => {
  expect(OPEN.state).toBe("open");
  const verdicts = (breaker: Breaker, times: readonly number[]) =>
    times.map((ms) => {
      const asked = ask(breaker, DOUBT_MS + ms);
      ({ breaker } = asked);
      return asked.verdict;
    });
  expect(verdicts(OPEN, [1, 999, 1_000, 1_001, 1_999, 2_000])).toEqual([
    "refuse",
    "refuse",
    "probe",
    "refuse",
    "refuse",
    "probe",
  ]);
  // A clock that jumps back an hour postpones nothing.
  expect(ask(OPEN, -3_600_000).verdict).toBe("probe");
});

test("after an outage calls come back in doubling portions; a failure meanwhile opens again", () => {
  let ramping = heard(OPEN, SOUND, 0);
  expect(ramping.state).toBe("ramping");
  const through = Array.from({ length: 12 }, (_, slice) => {
    let passed = 0;
    for (let n = 0; n < 10_000; n++) {
      const asked = ask(ramping, slice * 250);
      ramping = asked.breaker;
      if (asked.verdict === "call") passed++;
    }
    return passed;
  });
  expect(through).toEqual([8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 10_000, 10_000]);
  expect(ramping.state).toBe("closed");
  const again = heard(heard(OPEN, SOUND, 0), FAILED, 10);
  expect([again.state, ask(again, 11).verdict, ask(again, 10 + OPEN_PROBE_MS).verdict]).toEqual([
    "open",
    "refuse",
    "probe",
  ]);
});

test("whatever happened, a second later somebody may call", () => {
  const outcome = fc.constantFrom<Outcome>(
    SOUND,
    FAILED,
    { kind: "late", account: "a" },
    { kind: "late", account: "b" },
  );
  const step = fc.record({ afterMs: fc.integer({ min: -10_000, max: 10_000 }), outcome, asks: fc.nat(3) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      let breaker: Breaker = CLOSED;
      let nowMs = 0;
      for (const { afterMs, outcome: seen, asks } of steps) {
        nowMs += afterMs;
        for (let n = 0; n < asks; n++) ({ breaker } = ask(breaker, nowMs));
        breaker = heard(breaker, seen, nowMs);
      }
      expect(["call", "probe"]).toContain(ask(breaker, nowMs + OPEN_PROBE_MS).verdict);
    }),
  );
});

test("of what is shed a little is still sent, twice what is taken is, and all of it five seconds after", () => {
  let throttle = UNTHROTTLED;
  let [sent, taken] = [0, 0];
  for (let n = 0; n < 10_000; n++) {
    if (sheds(throttle, 0, ((n * 7_919) % 10_007) / 10_007)) {
      throttle = counted(throttle, false, 0);
      continue;
    }
    sent++;
    // There is room for one of a hundred that come.
    const room = taken < n / 100;
    if (room) taken++;
    throttle = counted(throttle, room, 0);
  }
  expect(taken).toBeGreaterThan(90);
  expect(sent).toBeGreaterThan(1.5 * taken);
  expect(sent).toBeLessThan(3 * taken);
  expect(sheds(throttle, 5_000, 0)).toBe(false);
});

test("retries of calls that somebody took are a tenth of all calls; who reached nobody pays nothing", () => {
  let budget = 0;
  let retried = 0;
  for (let n = 0; n < 1_000; n++) {
    budget = earn(budget);
    const left = spend(budget, { kind: "answered", status: 503 });
    if (left === null) continue;
    retried++;
    budget = left;
  }
  expect(retried).toBeGreaterThanOrEqual(99);
  expect(retried).toBeLessThanOrEqual(100);
  expect(spend(0, { kind: "unreached" })).toBe(0);
  expect(earn(FULL_BUDGET)).toBe(FULL_BUDGET);
  expect([
    mayRetry({ kind: "shed" }, true),
    mayRetry({ kind: "late" }, true),
    mayRetry({ kind: "late" }, false),
  ]).toEqual([false, true, false]);
});

test("a control plane that is back within seconds has refused nobody, and was asked little meanwhile", async () => {
  hasten();
  vi.spyOn(console, "warn").mockReturnValue();
  const { create, controlPlane } = await arrive();
  expect((await create({ prompt: "a" })).status).toBe(200);
  const backMs = Date.now() + 4_000;
  let asked = 0;
  controlPlane.outage = () => {
    const away = Date.now() < backMs;
    if (away) asked++;
    return away ? "refused" : "none";
  };
  const answers = await Promise.all(Array.from({ length: 40 }, () => create({ prompt: "a" })));
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
  // Each learnt by a try at each replica at most; after that they were probed four times a second.
  expect(asked).toBeLessThan(40 * 2 + 2 * 4 * 5);
});

test("a control plane that is away is not asked: calls are refused at once with when to come again, but for a probe a second", async () => {
  hasten();
  const warned = vi.spyOn(console, "warn").mockReturnValue();
  const { call, controlPlane } = await arrive();
  expect((await call("/v1/videos")).status).toBe(200);
  let asked = 0;
  controlPlane.outage = () => {
    asked++;
    return "refused";
  };
  for (const sinceMs = Date.now(); Date.now() < sinceMs + DOUBT_MS;) {
    expect((await call("/v1/videos")).status).toBe(503);
  }
  const before = asked;
  const beforeMs = Date.now();
  const agains = new Set<number>();
  for (let n = 0; n < 50; n++) {
    const answer = await call("/v1/videos");
    expect(answer.status).toBe(503);
    expect(answer.headers.get("x-should-retry")).toBe("true");
    expect(ErrorEnvelope.parse(await answer.json()).error.code).toBe("control_plane_unavailable");
    agains.add(Number(answer.headers.get("retry-after")));
  }
  expect(agains.size).toBeGreaterThan(1);
  expect(Math.min(...agains)).toBeGreaterThanOrEqual(1);
  expect(Math.max(...agains)).toBeLessThanOrEqual(4);
  const seconds = 1 + (Date.now() - beforeMs) / 1_000;
  expect(asked - before).toBeLessThanOrEqual(2 * seconds);
  expect(warned.mock.calls.map(([line]) => JSON.parse(String(line)) as object)).toContainEqual({
    level: "warn",
    message: "A control plane's breaker changed",
    control_plane: "http://control-plane-a.test",
    from: "doubtful",
    to: "open",
  });
  // Back again: a probe finds it within a second, then more and more go through.
  controlPlane.outage = () => "none";
  await scheduler.wait(1_000);
  expect((await call("/v1/videos")).status).toBe(200);
  await scheduler.wait(3_000);
  const answers = await Promise.all(Array.from({ length: 30 }, () => call("/v1/videos")));
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
});

test.each([
  ["refused for what it asks", "limited", 429],
  ["refused because it is busy with itself", "account_busy", 503],
] as const)("an account that is %s, again and again, costs no other account anything", async (_, outage, status) => {
  hasten();
  const warned = vi.spyOn(console, "warn").mockReturnValue();
  const { create, controlPlane } = await arrive();
  controlPlane.limits = { ...TIER, tier: "pro", creates_per_minute: 6_000, creates_burst: 300 };
  controlPlane.outage = (_host, path) => (path === "/edge/v1/videos" ? outage : "none");
  for (let n = 0; n < 40; n++) expect((await create({ prompt: "a" })).status).toBe(status);
  const other = await arrive();
  expect((await other.create({ prompt: "a" })).status).toBe(200);
  expect(warned.mock.calls.filter(([line]) => String(line).includes("doubtful"))).toEqual([]);
});

test("a control plane that answers that it cannot is tried again little more than once a call", async () => {
  hasten();
  vi.spyOn(console, "warn").mockReturnValue();
  const { create, call, controlPlane } = await arrive();
  controlPlane.videos.set(VIDEO_ID, (await (await create({ prompt: "a" })).json()) as never);
  controlPlane.outage = (_host, path) => (path.startsWith("/edge/v1/videos") ? "busy" : "none");
  const before = controlPlane.received.length;
  const answers = await Promise.all(Array.from({ length: 100 }, () => call(`/v1/videos/${VIDEO_ID}`)));
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([503]));
  expect(controlPlane.received.length - before).toBeLessThan(2 * answers.length);
  controlPlane.outage = () => "none";
  await scheduler.wait(1_000);
  expect((await call(`/v1/videos/${VIDEO_ID}`)).status).toBe(200);
  await scheduler.wait(3_000);
});

test("lists that the control plane sheds are mostly shed at the edge, and creates go on", async () => {
  hasten();
  const { call, create, controlPlane } = await arrive();
  controlPlane.outage = (_host, path) => (path === "/edge/v1/videos" ? "shed_lists" : "none");
  for (let n = 0; n < 100; n++) {
    const answer = await call("/v1/videos");
    expect([answer.status, answer.headers.get("x-should-retry")]).toEqual([503, "true"]);
    expect(ErrorEnvelope.parse(await answer.json()).error.code).toBe("temporary_reduced_capacity");
    const again = Number(answer.headers.get("retry-after"));
    expect(again >= 1 && again <= 30).toBe(true);
  }
  expect(controlPlane.calls("GET", "/edge/v1/videos").length).toBeLessThan(40);
  expect((await create({ prompt: "a" })).status).toBe(200);
  controlPlane.outage = () => "none";
  await scheduler.wait(6_000);
  expect((await call("/v1/videos")).status).toBe(200);
});

test("an account whose queue is full is told so by the edge for a tenth of the time it was told to wait, and nobody else is", async () => {
  hasten();
  const { create, controlPlane } = await arrive();
  const other = await arrive();
  controlPlane.install();
  controlPlane.keys.add(other.hash);
  controlPlane.limits = { ...TIER, tier: "pro", creates_per_minute: 6_000, creates_burst: 300 };
  controlPlane.outage = (_host, path) => (path === "/edge/v1/videos" ? "full" : "none");
  for (let n = 0; n < 30; n++) {
    const answer = await create({ prompt: "a" });
    expect([answer.status, answer.headers.get("retry-after"), answer.headers.get("x-should-retry")]).toEqual([
      429,
      "30",
      "false",
    ]);
    expect(await answer.json()).toEqual({
      error: {
        code: "queue_full",
        message: "20 are waiting",
        type: "rate_limit_error",
        param: null,
        queued: 20,
        limit: 20,
      },
    });
  }
  expect(controlPlane.calls("POST", "/edge/v1/videos")).toHaveLength(1);
  controlPlane.outage = () => "none";
  expect((await other.create({ prompt: "a" })).status).toBe(200);
  expect((await create({ prompt: "a" })).status).toBe(429);
  await scheduler.wait(3_000);
  expect((await create({ prompt: "a" })).status).toBe(200);
});

test("an edge that has its hands full sheds at the first step, and answers what it has begun", async () => {
  const { call, controlPlane } = await arrive();
  const other = await arrive();
  controlPlane.install();
  controlPlane.keys.add(other.hash);
  const release = Promise.withResolvers<void>();
  controlPlane.released = release.promise;
  const begun = [call, other.call].flatMap((each) => Array.from({ length: 180 }, () => each("/v1/videos")));
  const first = await Promise.race(begun);
  expect([first.status, ErrorEnvelope.parse(await first.json()).error.code]).toEqual([
    503,
    "temporary_reduced_capacity",
  ]);
  release.resolve();
  const statuses = (await Promise.all(begun)).map(({ status }) => status);
  const answered = statuses.filter((status) => status === 200).length;
  expect(statuses.filter((status) => status === 503)).toHaveLength(360 - answered);
  expect(answered).toBeGreaterThan(200);
  expect((await call("/v1/videos")).status).toBe(200);
});
