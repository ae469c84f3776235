import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Place } from "#control-plane/core/scheduler/event.ts";
import type { Scheduler } from "#control-plane/core/scheduler/scheduler.ts";
import { aQueuedJob, aRunner, aScheduler, CLASSES, STEP_MS, TIERS } from "#tests/support/toy-studio.ts";

/** Decides, commits everything, and answers the placements. */
function placed(scheduler: Scheduler, nowMs = 0, limit = 1_000): readonly Place[] {
  const places = scheduler.decide(nowMs, limit).filter((decision) => decision.t === "place");
  for (const { job } of places) scheduler.apply({ t: "committed", job: job.id }, nowMs);
  return places;
}

test("accounts of one tier take turns by GPU time, not by number of jobs", () => {
  const scheduler = aScheduler([1], { long: "pro", short: "pro" });
  for (let n = 0; n < 20; n++) scheduler.apply({ t: "queued", job: aQueuedJob(n, "long", { steps: 40 }) }, 0);
  for (let n = 20; n < 100; n++) scheduler.apply({ t: "queued", job: aQueuedJob(n, "short", { steps: 10 }) }, 0);
  const served = { long: 0, short: 0 };
  for (let turn = 0; turn < 50; turn++) {
    const [place] = placed(scheduler, turn);
    if (place === undefined) throw new Error("everybody still waits");
    served[place.job.account as "long" | "short"] += place.job.steps;
    scheduler.apply({ t: "ended", job: place.job.id, stepsRun: place.job.steps }, turn);
  }
  expect(served.long / served.short).toBeCloseTo(1, 1);
});

test("a tier's share is the sum of its active accounts' weights", () => {
  const scheduler = aScheduler([1], { a: "free", b: "free", c: "plus" });
  let seq = 0;
  for (const account of ["a", "b", "c"]) {
    for (let n = 0; n < 100; n++) scheduler.apply({ t: "queued", job: aQueuedJob(seq++, account) }, 0);
  }
  const served: Record<string, number> = { a: 0, b: 0, c: 0 };
  for (let turn = 0; turn < 90; turn++) {
    const [place] = placed(scheduler, turn);
    if (place === undefined) throw new Error("everybody still waits");
    served[place.job.account] = (served[place.job.account] ?? 0) + 1;
    scheduler.apply({ t: "ended", job: place.job.id, stepsRun: place.job.steps }, turn);
  }
  // free has two accounts of weight 1, plus one of weight 4: shares 2 and 4.
  expect(served).toEqual({ a: 15, b: 15, c: 60 });
});

test("an idle cluster makes wide gangs, a loaded one narrow gangs", () => {
  const accounts = Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`a${n}`, "free"]));
  const idle = aScheduler([8], accounts);
  idle.apply({ t: "queued", job: aQueuedJob(0, "a0", { class: "wide", steps: 100 }) }, 0);
  expect(placed(idle)).toMatchObject([{ k: 8 }]);
  const loaded = aScheduler([8], accounts);
  for (let n = 0; n < 100; n++) {
    loaded.apply({ t: "queued", job: aQueuedJob(n, `a${n}`, { class: "wide", steps: 1_000 }) }, 0);
  }
  expect(placed(loaded).map((place) => place.k)).toEqual([1, 1, 1, 1, 1, 1, 1, 1]);
});

test("a job that needs a whole runner is not starved by small ones once it has waited long", () => {
  const accounts = Object.fromEntries(Array.from({ length: 40 }, (_, n) => [`a${n}`, "free"]));
  const scheduler = aScheduler(
    [8],
    { ...accounts, gang: "free" },
    { reserveAfterMs: 60_000, slackMax: 0, fullBacklogMs: 1 },
  );
  for (let n = 0; n < 8; n++) scheduler.apply({ t: "queued", job: aQueuedJob(n, `a${n}`, { steps: 50 + n }) }, 0);
  placed(scheduler);
  scheduler.apply({ t: "queued", job: aQueuedJob(8, "gang", { class: "gang", steps: 10 }) }, 0);
  const running = new Map(Array.from({ length: 8 }, (_, n) => [aQueuedJob(n, "").id, (50 + n) * STEP_MS]));
  let seq = 100;
  let startedMs = Infinity;
  for (let nowMs = 0; nowMs < 600_000 && startedMs === Infinity; nowMs += STEP_MS) {
    for (const [job, endMs] of running) {
      if (endMs > nowMs) continue;
      running.delete(job);
      scheduler.apply({ t: "ended", job, stepsRun: 1_000 }, nowMs);
      const next = aQueuedJob(seq, `a${seq++ % 40}`, { steps: 50, submittedAtMs: nowMs });
      scheduler.apply({ t: "queued", job: next }, nowMs);
    }
    for (const place of placed(scheduler, nowMs)) {
      if (place.job.class === "gang") startedMs = nowMs;
      running.set(place.job.id, nowMs + place.job.steps * STEP_MS);
    }
  }
  // A minute to age, then three rounds of small jobs at most: one until fairness comes to it, one that runs when it
  // reserves, one that ties with it.
  expect(startedMs).toBeLessThanOrEqual(60_000 + 3 * 50 * STEP_MS);
});

test("the reason of a wait is the one that holds it, and its ETA follows from the work ahead", () => {
  const scheduler = aScheduler([1], { a: "free", b: "free", c: "free" }, { dryRunEveryMs: 0 });
  scheduler.apply({ t: "queued", job: aQueuedJob(1, "a") }, 0);
  placed(scheduler);
  scheduler.apply({ t: "queued", job: aQueuedJob(2, "a") }, 0);
  const reasonOf = (seq: number) => scheduler.explain(aQueuedJob(seq, "").id, 0)?.blockedBy;
  expect(reasonOf(2)).toBe("account_concurrency");
  scheduler.apply({ t: "queued", job: aQueuedJob(3, "b") }, 0);
  expect(scheduler.explain(aQueuedJob(3, "").id, 0)).toMatchObject({
    blockedBy: "capacity",
    position: 0,
    eta: { startP50Ms: 10_000, finishP50Ms: 20_000 },
  });
  scheduler.apply({ t: "queued", job: aQueuedJob(9, "c") }, 0);
  expect(scheduler.explain(aQueuedJob(9, "").id, 0)).toMatchObject({
    blockedBy: "fair_share",
    position: 1,
    eta: { startP50Ms: 20_000 },
  });
  scheduler.apply({ t: "queued", job: aQueuedJob(4, "b", { notBeforeMs: 5_000 }) }, 0);
  expect(reasonOf(4)).toBe("backoff");
  scheduler.apply({ t: "queued", job: aQueuedJob(5, "b", { class: "gang" }) }, 0);
  expect(reasonOf(5)).toBe("no_runner");
  scheduler.apply({ t: "runner_down", runner: "runner-0" }, 0);
  expect(scheduler.explain(aQueuedJob(3, "").id, 0)).toMatchObject({ blockedBy: "no_runner", eta: null });
});

test("a job in backoff is placed when its time has come, and the scheduler names that time", () => {
  const scheduler = aScheduler([1], { a: "free" });
  scheduler.apply({ t: "queued", job: aQueuedJob(1, "a", { notBeforeMs: 5_000 }) }, 0);
  expect(placed(scheduler, 4_999)).toEqual([]);
  expect(scheduler.nextWakeMs()).toBe(5_000);
  expect(placed(scheduler, 5_000)).toHaveLength(1);
});

test("a job goes to another runner than the one that lost it, unless that is the only one", () => {
  const scheduler = aScheduler([1, 1], { a: "free" });
  scheduler.apply({ t: "queued", job: aQueuedJob(1, "a", { avoid: "runner-0" }) }, 0);
  expect(scheduler.decide(0, 1)).toMatchObject([{ runner: "runner-1" }]);
  scheduler.apply({ t: "refused", job: aQueuedJob(1, "").id }, 0);
  scheduler.apply({ t: "runner_down", runner: "runner-1" }, 0);
  scheduler.apply({ t: "queued", job: aQueuedJob(1, "a", { avoid: "runner-0" }) }, 0);
  expect(scheduler.decide(0, 1)).toMatchObject([{ runner: "runner-0" }]);
});

test("a takeover counts what runs, also on a runner that was set up anew meanwhile", () => {
  const scheduler = aScheduler([2], { a: "free", b: "free", c: "free", d: "free" });
  const running = (seq: number, account: string, devices: readonly string[], runner = "runner-0") =>
    scheduler.apply({ t: "running", job: aQueuedJob(seq, account), runner, devices, slot: null }, 0);
  running(1, "a", ["0.0"]);
  running(2, "b", ["0.0", "0.7"]);
  running(3, "c", ["9.9"], "runner-unknown");
  for (const [seq, account] of [
    [4, "a"],
    [5, "d"],
  ] as const) {
    scheduler.apply({ t: "queued", job: aQueuedJob(seq, account) }, 0);
  }
  // a stands at its cap; one device is free.
  expect(placed(scheduler).map(({ job, devices }) => [job.account, devices])).toEqual([["d", ["0.1"]]]);
  for (const seq of [1, 2, 3]) scheduler.apply({ t: "ended", job: aQueuedJob(seq, "").id, stepsRun: 10 }, 0);
  expect(placed(scheduler).map(({ job }) => job.account)).toEqual(["a"]);
});

test("a runner that was set up anew while it held a job has its new devices once that job is over", () => {
  const scheduler = aScheduler([1], { a: "free", b: "free" });
  scheduler.apply({ t: "running", job: aQueuedJob(1, "a"), runner: "runner-0", devices: ["0.0"], slot: null }, 0);
  scheduler.apply({ t: "runner_down", runner: "runner-0" }, 0);
  scheduler.apply({ t: "runner_up", runner: aRunner(0, 8) }, 0);
  scheduler.apply({ t: "queued", job: aQueuedJob(2, "b", { class: "gang" }) }, 0);
  expect(placed(scheduler)).toEqual([]);
  scheduler.apply({ t: "ended", job: aQueuedJob(1, "").id, stepsRun: 10 }, 0);
  expect(placed(scheduler)).toMatchObject([{ runner: "runner-0", k: 8 }]);
});

test("an account that comes back after idling has saved up nothing", () => {
  const scheduler = aScheduler([1], { busy: "pro", back: "pro" });
  for (let n = 0; n < 40; n++) scheduler.apply({ t: "queued", job: aQueuedJob(n, "busy") }, 0);
  const turn = (n: number) => {
    const [place] = placed(scheduler, n);
    if (place === undefined) throw new Error("the queue is not empty");
    scheduler.apply({ t: "ended", job: place.job.id, stepsRun: place.job.steps }, n);
    return place.job.account;
  };
  for (let n = 0; n < 20; n++) turn(n);
  for (let n = 100; n < 120; n++) scheduler.apply({ t: "queued", job: aQueuedJob(n, "back") }, 20);
  const order = Array.from({ length: 10 }, (_, n) => turn(20 + n));
  // Its first job may go ahead of the one that was served last; from then on they take turns.
  expect(order.filter((account) => account === "back").length).toBeLessThanOrEqual(6);
});

describe("preemption", () => {
  const limits = { preemptAfterMs: 60_000, victimRanMinMs: 60_000, victimLeftMinMs: 60_000 };
  const longJob = (seq: number, account: string) => aQueuedJob(seq, account, { steps: 1_000 });

  test("an account that was served too much gives way to one that waits, and what was freed is held for it", () => {
    const scheduler = aScheduler([1], { greedy: "free", patient: "free", third: "free" }, limits);
    scheduler.apply({ t: "queued", job: longJob(1, "greedy") }, 0);
    placed(scheduler);
    scheduler.apply({ t: "queued", job: aQueuedJob(2, "patient", { steps: 20 }) }, 0);
    expect(scheduler.decide(1_000, 10)).toEqual([]);
    expect(scheduler.nextWakeMs()).toBe(61_000);
    expect(scheduler.decide(60_999, 10)).toEqual([]);
    const [victim, waiting] = [longJob(1, "greedy"), aQueuedJob(2, "patient", { steps: 20 })];
    expect(scheduler.decide(120_000, 10)).toEqual([{ t: "preempt", job: victim.id, for: waiting.id }]);
    // Asked once only.
    expect(scheduler.decide(120_500, 10)).toEqual([]);
    scheduler.apply({ t: "queued", job: aQueuedJob(3, "third", { steps: 20 }) }, 120_500);
    scheduler.apply({ t: "requeued", job: { ...victim, stepsDone: 121, preemptions: 1 }, stepsRun: 121 }, 121_000);
    expect(placed(scheduler, 121_000).map(({ job }) => job.id)).toEqual([waiting.id]);
    scheduler.apply({ t: "ended", job: waiting.id, stepsRun: 20 }, 141_000);
    // Nobody pushes back: the third, who waited, then the one that was pushed aside.
    expect(placed(scheduler, 141_000).map(({ job }) => job.id)).toEqual([aQueuedJob(3, "").id]);
    scheduler.apply({ t: "ended", job: aQueuedJob(3, "").id, stepsRun: 20 }, 161_000);
    expect(placed(scheduler, 161_000).map(({ job }) => job.id)).toEqual([victim.id]);
  });

  test("nobody is pushed aside on a runner that keeps nothing", () => {
    for (const keeps of [true, false]) {
      const scheduler = aScheduler([], { greedy: "free", patient: "free" }, limits);
      scheduler.apply({ t: "runner_up", runner: { ...aRunner(0, 1), keeps } }, 0);
      scheduler.apply({ t: "queued", job: longJob(1, "greedy") }, 0);
      placed(scheduler);
      scheduler.apply({ t: "queued", job: aQueuedJob(2, "patient", { steps: 20 }) }, 0);
      expect(scheduler.decide(1_000, 10)).toEqual([]);
      expect(scheduler.decide(120_000, 10)).toHaveLength(keeps ? 1 : 0);
    }
  });

  test.each([
    ["one that cannot resume exactly", { class: "rigid" }, 200_000],
    ["one that was preempted twice", { preemptions: 2 }, 200_000],
    ["one that has just begun", {}, 59_000],
    ["one that is nearly done", {}, 950_000],
  ])("%s is left alone", (_what, more, nowMs) => {
    const scheduler = aScheduler([1], { greedy: "free", patient: "free" }, { ...limits, preemptAfterMs: 0 });
    const [small] = CLASSES;
    if (small !== undefined) scheduler.apply({ t: "class", class: { ...small, id: "rigid", resume: "none" } }, 0);
    scheduler.apply({ t: "queued", job: { ...longJob(1, "greedy"), ...more } }, 0);
    placed(scheduler);
    scheduler.apply({ t: "queued", job: aQueuedJob(2, "patient") }, 0);
    expect(scheduler.decide(nowMs, 10)).toEqual([]);
  });

  test("a job that is slower than its estimate is judged by its own pace", () => {
    const scheduler = aScheduler([1], { greedy: "free", patient: "free" }, limits);
    const slow = aQueuedJob(1, "greedy", { steps: 100 });
    scheduler.apply({ t: "queued", job: slow }, 0);
    placed(scheduler);
    scheduler.apply({ t: "queued", job: aQueuedJob(2, "patient", { steps: 1 }) }, 0);
    expect(scheduler.decide(1_000, 10)).toEqual([]);
    // By its estimate it would be done.
    expect(scheduler.decide(200_000, 10)).toEqual([]);
    scheduler.apply({ t: "progress", job: slow.id, stepsDone: 20 }, 200_000);
    expect(scheduler.decide(200_000, 10)).toMatchObject([{ t: "preempt", job: slow.id }]);
  });

  test("accounts that were served alike do not push each other aside", () => {
    const scheduler = aScheduler([1], { a: "free", b: "free" }, limits);
    scheduler.apply({ t: "queued", job: longJob(1, "a") }, 0);
    placed(scheduler);
    scheduler.apply({ t: "queued", job: longJob(2, "b") }, 0);
    // b's job would cost b as much as a's has cost a: there is nothing to gain.
    for (let nowMs = 60_000; nowMs < 900_000; nowMs += 10_000) expect(scheduler.decide(nowMs, 10)).toEqual([]);
  });
});

test("what did not run is given back: a cancelled job hardly counts against its account", () => {
  const scheduler = aScheduler([1], { cancels: "pro", runs: "pro" });
  scheduler.apply({ t: "queued", job: aQueuedJob(1, "cancels", { steps: 1_000 }) }, 0);
  scheduler.apply({ t: "queued", job: aQueuedJob(2, "cancels") }, 0);
  const [cancelled] = placed(scheduler);
  scheduler.apply({ t: "queued", job: aQueuedJob(3, "runs", { steps: 100 }) }, 0);
  scheduler.apply({ t: "ended", job: cancelled?.job.id ?? "", stepsRun: 1 }, 0);
  const order: string[] = [];
  for (let n = 0; n < 2; n++) {
    const [place] = placed(scheduler, n);
    order.push(place?.job.account ?? "");
    scheduler.apply({ t: "ended", job: place?.job.id ?? "", stepsRun: place?.job.steps ?? 0 }, n);
  }
  expect(order).toEqual(["runs", "cancels"]);
});

const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      t: fc.constant("submit"),
      account: fc.nat(5),
      kind: fc.nat(2),
      steps: fc.integer({ min: 1, max: 60 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ t: fc.constant("end"), account: fc.nat(99), kind: fc.nat(2), steps: fc.nat(60) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ t: fc.constant("refuse"), account: fc.nat(99), kind: fc.nat(2), steps: fc.nat(60) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ t: fc.constant("withdraw"), account: fc.nat(99), kind: fc.nat(2), steps: fc.nat(60) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ t: fc.constant("runner"), account: fc.nat(2), kind: fc.nat(1), steps: fc.nat(60) }),
  },
);
const TIER_OF = ["free", "free", "plus", "plus", "pro", "pro"];

/** Plays one history and answers every decision made, checking what must hold after each. */
function play(steps: readonly { t: string; account: number; kind: number; steps: number }[]): string {
  const accounts = Object.fromEntries(TIER_OF.map((tier, n) => [`a${n}`, tier]));
  const scheduler = aScheduler([8, 4, 1], accounts, { reserveAfterMs: 20_000, slackMax: 0.5, fullBacklogMs: 100_000 });
  const runners = [8, 4, 1].map((count, n) => aRunner(n, count));
  const running = new Map<string, Place>();
  const log: string[] = [];
  steps.forEach((next, n) => {
    const nowMs = n * 5_000;
    const [victim] = [...running.values()].slice(next.account % Math.max(1, running.size));
    const runner = runners[next.account % 3];
    if (next.t === "submit") {
      const job = aQueuedJob(n, `a${next.account}`, {
        class: CLASSES[next.kind]?.id ?? "small",
        steps: next.steps,
        submittedAtMs: nowMs,
      });
      scheduler.apply({ t: "queued", job }, nowMs);
    } else if (next.t === "end" && victim !== undefined) {
      scheduler.apply({ t: "ended", job: victim.job.id, stepsRun: Math.min(next.steps, victim.job.steps) }, nowMs);
      running.delete(victim.job.id);
    } else if (next.t === "withdraw") scheduler.apply({ t: "withdrawn", job: aQueuedJob(next.account, "").id }, nowMs);
    else if (next.t === "runner" && runner !== undefined) {
      scheduler.apply(next.kind === 0 ? { t: "runner_down", runner: runner.id } : { t: "runner_up", runner }, nowMs);
    }
    for (const decision of scheduler.decide(nowMs, 50)) {
      if (decision.t !== "place") continue;
      log.push(`${nowMs} ${decision.job.id} ${decision.devices.join()}`);
      if (next.t === "refuse") scheduler.apply({ t: "refused", job: decision.job.id }, nowMs);
      else {
        scheduler.apply({ t: "committed", job: decision.job.id }, nowMs);
        running.set(decision.job.id, decision);
      }
    }
    const devices = [...running.values()].flatMap((place) => place.devices);
    expect(new Set(devices).size, "a device runs one job").toBe(devices.length);
    for (const place of running.values()) {
      expect(new Set(place.devices.map((id) => id.split(".")[0])).size, "a gang stays on one runner").toBe(1);
    }
    for (const [account, tier] of Object.entries(accounts)) {
      const count = [...running.values()].filter((place) => place.job.account === account).length;
      expect(count, "no account exceeds its cap").toBeLessThanOrEqual(
        TIERS.find((terms) => terms.tier === tier)?.accountRunningMax ?? 0,
      );
    }
  });
  return log.join("\n");
}

test("whatever happens: one job a device, gangs on one runner, caps exact, and the same history decides the same", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      expect(play(steps)).toBe(play(steps));
    }),
    { numRuns: 150 },
  );
});

test("accounts that always wait never drift apart by more than one job over the least weight (P1)", () => {
  const costs = fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 120, maxLength: 240 });
  fc.assert(
    fc.property(costs, (steps) => {
      const accounts = { a: "free", b: "free", c: "free", d: "free" };
      const scheduler = aScheduler([1], accounts);
      const names = Object.keys(accounts);
      steps.forEach((count, n) =>
        scheduler.apply({ t: "queued", job: aQueuedJob(n, names[n % 4] ?? "a", { steps: count }) }, 0),
      );
      const left = new Map(names.map((name, n) => [name, steps.filter((_, index) => index % 4 === n).length]));
      const served = new Map(names.map((name) => [name, 0]));
      const running: Place[] = [];
      for (let turn = 0; turn < steps.length; turn++) {
        for (const place of placed(scheduler, turn, 1)) {
          running.push(place);
          const { account } = place.job;
          served.set(account, (served.get(account) ?? 0) + place.job.steps);
          left.set(account, (left.get(account) ?? 0) - 1);
        }
        // Only while everybody waits and nobody stands at its cap (one running job for `free`).
        if ([...left.values()].some((count) => count === 0)) return;
        const values = [...served.values()];
        expect(Math.max(...values) - Math.min(...values)).toBeLessThanOrEqual(100);
        const first = running.shift();
        if (first !== undefined) scheduler.apply({ t: "ended", job: first.job.id, stepsRun: first.job.steps }, turn);
      }
    }),
    { numRuns: 100 },
  );
});
