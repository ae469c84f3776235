/** Devices that several jobs share: slots and memory, fragmentation, gangs beside them, preemption and reservation. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Place, QueuedJob } from "#control-plane/core/scheduler/event.ts";
import type { JobClass } from "#control-plane/core/scheduler/job-class.ts";
import type { SchedulerLimits } from "#control-plane/core/scheduler/limits.ts";
import { Scheduler } from "#control-plane/core/scheduler/scheduler.ts";
import { aQueuedJob, aRunner, aScheduler, TIERS, TOY_COST } from "#tests/support/toy-studio.ts";

const GIB = 2 ** 30;
const SIZES = [10, 20, 25, 30, 40, 50] as const;
const CLASSES: readonly JobClass[] = [
  ...SIZES.map((gib) => aClass(`one${gib}`, 1, gib)),
  aClass("pair", 2, 60),
  aClass("big", 1, 70),
];

function aClass(id: string, k: number, gib: number): JobClass {
  return { id, model: "m", shapes: [{ k, vramBytes: gib * GIB }], resume: "exact", batchMax: 1 };
}

/** Twelve accounts that may run ten jobs each, and one for free. */
function aSharedScheduler(limits: Partial<SchedulerLimits> = {}): Scheduler {
  const accounts = Object.fromEntries(Array.from({ length: 12 }, (_, n) => [`a${n}`, "pro"]));
  const scheduler = aScheduler([], { ...accounts, free: "free" }, limits);
  for (const jobClass of CLASSES) scheduler.apply({ t: "class", class: jobClass }, 0);
  return scheduler;
}

function queue(scheduler: Scheduler, seq: number, jobClass: string, more: Partial<QueuedJob> = {}, nowMs = 0): string {
  const job = aQueuedJob(seq, `a${seq % 12}`, { class: jobClass, ...more });
  scheduler.apply({ t: "queued", job }, nowMs);
  return job.id;
}

function placed(scheduler: Scheduler, nowMs = 0): readonly Place[] {
  const places = scheduler.decide(nowMs, 100).filter((decision) => decision.t === "place");
  for (const { job } of places) scheduler.apply({ t: "committed", job: job.id }, nowMs);
  return places;
}

/** Where each was put: device and slot. */
const seats = (places: readonly Place[]) => places.map(({ devices, slot }) => `${devices.join("+")}/${slot}`);

describe("slots", () => {
  test("two jobs share a device, the third takes the next one", () => {
    const scheduler = aSharedScheduler();
    scheduler.apply({ t: "runner_up", runner: aRunner(0, 2, { slots: 2 }) }, 0);
    for (const seq of [0, 1, 2]) queue(scheduler, seq, "one30");
    expect(seats(placed(scheduler))).toEqual(["0.0/0", "0.0/1", "0.1/0"]);
  });

  test("two jobs whose memory does not fit together do not share, however many slots there are", () => {
    const scheduler = aSharedScheduler();
    scheduler.apply({ t: "runner_up", runner: aRunner(0, 2, { slots: 16 }) }, 0);
    for (const seq of [0, 1, 2]) queue(scheduler, seq, "one50");
    expect(seats(placed(scheduler))).toEqual(["0.0/0", "0.1/0"]);
    queue(scheduler, 3, "one30");
    expect(seats(placed(scheduler))).toEqual(["0.0/1"]);
  });

  test("a slot that falls free is given again, the other job stays where it is", () => {
    const scheduler = aSharedScheduler();
    scheduler.apply({ t: "runner_up", runner: aRunner(0, 1, { slots: 2 }) }, 0);
    const [first] = [queue(scheduler, 0, "one30"), queue(scheduler, 1, "one30"), queue(scheduler, 2, "one30")];
    expect(seats(placed(scheduler))).toEqual(["0.0/0", "0.0/1"]);
    scheduler.apply({ t: "ended", job: first, stepsRun: 10 }, 0);
    expect(seats(placed(scheduler))).toEqual(["0.0/0"]);
  });

  test("a gang takes its devices whole: it waits for every job on them, and nobody joins it", () => {
    const scheduler = aSharedScheduler();
    scheduler.apply({ t: "runner_up", runner: aRunner(0, 2, { slots: 2 }) }, 0);
    const small = queue(scheduler, 0, "one10");
    placed(scheduler);
    const gang = queue(scheduler, 1, "pair");
    expect(placed(scheduler)).toEqual([]);
    scheduler.apply({ t: "ended", job: small, stepsRun: 10 }, 0);
    expect(placed(scheduler)).toMatchObject([{ devices: ["0.0", "0.1"], slot: null }]);
    queue(scheduler, 2, "one10");
    expect(placed(scheduler)).toEqual([]);
    scheduler.apply({ t: "ended", job: gang, stepsRun: 10 }, 0);
    expect(seats(placed(scheduler))).toEqual(["0.0/0"]);
  });

  test("a class lands only where it fits, and one that fits nowhere says no_runner", () => {
    const scheduler = aSharedScheduler();
    scheduler.apply({ t: "runner_up", runner: aRunner(0, 2, { slots: 2 }) }, 0);
    scheduler.apply({ t: "runner_up", runner: aRunner(1, 1, { vramBytes: 24 * GIB }) }, 0);
    for (const seq of [0, 1, 2, 3]) queue(scheduler, seq, "pair");
    expect(placed(scheduler)).toMatchObject([{ runner: "runner-0", k: 2 }]);
    queue(scheduler, 5, "one20");
    expect(placed(scheduler)).toMatchObject([{ runner: "runner-1", slot: null }]);
    scheduler.apply({ t: "class", class: aClass("huge", 1, 90) }, 0);
    scheduler.apply({ t: "class", class: aClass("trio", 3, 10) }, 0);
    const reasons = ["huge", "trio"].map((jobClass, n) => {
      const id = queue(scheduler, 6 + n, jobClass);
      return scheduler.explain(id, 0)?.blockedBy;
    });
    expect(reasons).toEqual(["no_runner", "no_runner"]);
  });

  test("devices of one runner may differ: the small one is taken by what fits it, a gang needs enough large ones", () => {
    const scheduler = aSharedScheduler();
    const runner = aRunner(0, 3);
    const devices = runner.devices.map((device, n) =>
      n === 0 ? device : { ...device, vramBytes: (n === 1 ? 24 : 80) * GIB },
    );
    scheduler.apply({ t: "runner_up", runner: { ...runner, devices } }, 0);
    queue(scheduler, 0, "one20");
    expect(placed(scheduler)).toMatchObject([{ devices: ["0.1"] }]);
    queue(scheduler, 1, "pair");
    expect(placed(scheduler)).toMatchObject([{ devices: ["0.0", "0.2"] }]);
  });

  test("a takeover puts jobs back into their slots", () => {
    const scheduler = aSharedScheduler();
    scheduler.apply({ t: "runner_up", runner: aRunner(0, 1, { slots: 3 }) }, 0);
    for (const [seq, slot] of [
      [0, 1],
      [1, 1],
      [2, 0],
    ] as const) {
      const job = aQueuedJob(seq, `a${seq}`, { class: "one30" });
      scheduler.apply({ t: "running", job, runner: "runner-0", devices: ["0.0"], slot }, 0);
    }
    queue(scheduler, 3, "one30");
    expect(placed(scheduler)).toEqual([]);
    queue(scheduler, 4, "one20");
    expect(seats(placed(scheduler))).toEqual(["0.0/2"]);
  });

  test("warm on a shared device are the weights of those who run there and of the one that began last", () => {
    const scheduler = new Scheduler({ ...TOY_COST, loadMs: () => 5_000 });
    for (const jobClass of CLASSES) scheduler.apply({ t: "class", class: jobClass }, 0);
    for (const terms of TIERS) scheduler.apply({ t: "tier", terms }, 0);
    for (let n = 0; n < 12; n++) scheduler.apply({ t: "account", account: `a${n}`, tier: "pro" }, 0);
    scheduler.apply({ t: "runner_up", runner: aRunner(0, 1, { slots: 3 }) }, 0);
    const cold = (seq: number, weights: string) => {
      queue(scheduler, seq, "one10", { weights });
      return placed(scheduler).map(({ coldMs }) => coldMs);
    };
    const end = (seq: number) => scheduler.apply({ t: "ended", job: aQueuedJob(seq, "").id, stepsRun: 10 }, 0);
    expect([cold(0, "x"), cold(1, "y"), cold(2, "x")]).toEqual([[5_000], [5_000], [0]]);
    end(1);
    expect(cold(3, "y")).toEqual([5_000]);
    for (const seq of [0, 2, 3]) end(seq);
    expect([cold(4, "y"), cold(5, "x")]).toEqual([[0], [5_000]]);
  });
});

describe("fragmentation", () => {
  /** Left on device 0: 45 GiB, on device 1: 60 GiB; two slots on each. */
  function halfFull(): Scheduler {
    const scheduler = aSharedScheduler();
    scheduler.apply({ t: "runner_up", runner: aRunner(0, 2, { slots: 4 }) }, 0);
    for (const [seq, jobClass, device, slot] of [
      [100, "one10", "0.0", 0],
      [101, "one25", "0.0", 1],
      [102, "one10", "0.1", 0],
      [103, "one10", "0.1", 1],
    ] as const) {
      const job = aQueuedJob(seq, "a11", { class: jobClass });
      scheduler.apply({ t: "running", job, runner: "runner-0", devices: [device], slot }, 0);
    }
    return scheduler;
  }

  test("where nothing else is asked for the tightest fit is taken", () => {
    const scheduler = halfFull();
    queue(scheduler, 0, "one20");
    expect(seats(placed(scheduler))).toEqual(["0.0/2"]);
  });

  test("where large jobs were seen a slot is taken that leaves them room: one more runs than under best fit", () => {
    const scheduler = halfFull();
    const large = [1, 2].map((seq) => queue(scheduler, seq, "one40", { notBeforeMs: 1_000 }));
    queue(scheduler, 0, "one20");
    expect(seats(placed(scheduler))).toEqual(["0.1/2"]);
    const late = placed(scheduler, 1_000);
    expect(late.map(({ job }) => job.id).toSorted()).toEqual(large);
  });

  test("a gang's devices are left whole where gangs were seen", () => {
    const scheduler = aSharedScheduler();
    scheduler.apply({ t: "runner_up", runner: aRunner(0, 3, { slots: 2 }) }, 0);
    queue(scheduler, 0, "pair", { notBeforeMs: 1_000 });
    queue(scheduler, 1, "one10");
    queue(scheduler, 2, "one10");
    expect(seats(placed(scheduler))).toEqual(["0.0/0", "0.0/1"]);
    expect(placed(scheduler, 1_000)).toMatchObject([{ devices: ["0.1", "0.2"] }]);
  });
});

describe("pushing aside and reserving", () => {
  const QUICK = { preemptAfterMs: 1_000, victimRanMinMs: 1_000, victimLeftMinMs: 1_000, reserveAfterMs: 5_000 };

  /** The decisions once the head has waited long enough to preempt. */
  function later(scheduler: Scheduler, nowMs: number) {
    scheduler.decide(nowMs - 1_500, 100);
    return scheduler.decide(nowMs, 100);
  }

  test("a head that needs a slot pushes one tenant aside, not all who share the device", () => {
    const scheduler = aSharedScheduler(QUICK);
    scheduler.apply({ t: "runner_up", runner: aRunner(0, 1, { slots: 2 }) }, 0);
    for (const [seq, steps] of [
      [0, 1_000],
      [1, 4_000],
    ] as const) {
      scheduler.apply({ t: "account", account: `f${seq}`, tier: "free" }, 0);
      scheduler.apply({ t: "queued", job: aQueuedJob(seq, `f${seq}`, { class: "one30", steps }) }, 0);
    }
    expect(placed(scheduler)).toHaveLength(2);
    queue(scheduler, 2, "one30", {}, 2_000);
    const asked = later(scheduler, 4_000);
    expect(asked).toMatchObject([{ t: "preempt", for: aQueuedJob(2, "").id }]);
    const [victim] = asked;
    if (victim?.t !== "preempt") throw new Error("somebody is pushed aside");
    const seq = Number(victim.job.slice(-6));
    const left = aQueuedJob(seq, `f${seq}`, { class: "one30", steps: 1_000, preemptions: 1 });
    scheduler.apply({ t: "requeued", job: left, stepsRun: 4 }, 4_500);
    expect(placed(scheduler, 4_500)).toMatchObject([{ job: { id: aQueuedJob(2, "").id }, devices: ["0.0"] }]);
  });

  test("a gang pushes aside all who share the devices it needs, or nobody", () => {
    const scheduler = aSharedScheduler(QUICK);
    scheduler.apply({ t: "runner_up", runner: aRunner(0, 2, { slots: 2 }) }, 0);
    for (const seq of [0, 1, 2]) {
      scheduler.apply({ t: "account", account: `f${seq}`, tier: "free" }, 0);
      scheduler.apply({ t: "queued", job: aQueuedJob(seq, `f${seq}`, { class: "one30", steps: 1_000 }) }, 0);
    }
    expect(seats(placed(scheduler))).toEqual(["0.0/0", "0.0/1", "0.1/0"]);
    // Of their own tier: across tiers all three are refunded to one tag, which would then stand before the head's.
    scheduler.apply({ t: "account", account: "f3", tier: "free" }, 0);
    queue(scheduler, 5, "pair", { account: "f3" }, 200_000);
    const asked = later(scheduler, 204_000);
    expect(asked.map((decision) => (decision.t === "preempt" ? decision.job : ""))).toHaveLength(3);

    const fixed = aSharedScheduler(QUICK);
    fixed.apply({ t: "class", class: { ...aClass("one30", 1, 30), resume: "none" } }, 0);
    fixed.apply({ t: "runner_up", runner: aRunner(0, 2, { slots: 2 }) }, 0);
    for (const [seq, jobClass] of [
      [0, "one30"],
      [1, "one40"],
    ] as const) {
      fixed.apply({ t: "account", account: `f${seq}`, tier: "free" }, 0);
      fixed.apply({ t: "queued", job: aQueuedJob(seq, `f${seq}`, { class: jobClass, steps: 1_000 }) }, 0);
    }
    expect(seats(placed(fixed))).toEqual(["0.0/0", "0.0/1"]);
    queue(fixed, 5, "pair", {}, 2_000);
    expect(later(fixed, 4_000)).toEqual([]);
  });

  test("what is reserved of a shared device is kept from jobs that would be in the way, not from those beside it", () => {
    const scheduler = aSharedScheduler({ ...QUICK, preemptAfterMs: 1e9 });
    scheduler.apply({ t: "runner_up", runner: aRunner(0, 1, { slots: 4 }) }, 0);
    const first = queue(scheduler, 0, "one40", { steps: 20 });
    placed(scheduler);
    const head = queue(scheduler, 1, "one50", { steps: 20 }, 1_000);
    expect(placed(scheduler, 1_000)).toEqual([]);
    expect(placed(scheduler, 7_000)).toEqual([]);
    // 40 GiB lie open; from 20 s on 50 GiB of the 80 are the head's.
    queue(scheduler, 2, "one40", { steps: 100 }, 8_000);
    expect(placed(scheduler, 8_000)).toEqual([]);
    const beside = queue(scheduler, 3, "one30", { steps: 100 }, 8_000);
    expect(placed(scheduler, 8_000)).toMatchObject([{ job: { id: beside } }]);
    const brief = queue(scheduler, 4, "one10", { steps: 10 }, 9_000);
    expect(placed(scheduler, 9_000)).toMatchObject([{ job: { id: brief } }]);
    for (const job of [brief, first]) scheduler.apply({ t: "ended", job, stepsRun: 20 }, 20_000);
    expect(placed(scheduler, 20_000)).toMatchObject([{ job: { id: head } }]);
  });
});

const steps = fc.record({
  t: fc.constantFrom("submit", "submit", "submit", "end", "refuse", "down", "up"),
  account: fc.nat(11),
  kind: fc.nat(CLASSES.length - 1),
});

test("whatever happens: slots and memory are never overdrawn, gangs are alone, and the same history decides the same", () => {
  const runners = [aRunner(0, 2, { slots: 2 }), aRunner(1, 3, { slots: 4 }), aRunner(2, 2, { vramBytes: 24 * GIB })];
  const devices = new Map(runners.flatMap((runner) => runner.devices.map((device) => [device.id, device])));
  const play = (script: readonly { t: string; account: number; kind: number }[]): string => {
    const scheduler = aSharedScheduler({ reserveAfterMs: 20_000, preemptAfterMs: 10_000 });
    for (const runner of runners) scheduler.apply({ t: "runner_up", runner }, 0);
    const running = new Map<string, Place>();
    const log: string[] = [];
    script.forEach((next, n) => {
      const nowMs = n * 4_000;
      const victim = [...running.values()][next.account % Math.max(1, running.size)];
      const runner = runners[next.account % 3];
      if (next.t === "submit")
        queue(scheduler, n, CLASSES[next.kind]?.id ?? "", { account: `a${next.account}` }, nowMs);
      else if (next.t === "end" && victim !== undefined) {
        scheduler.apply({ t: "ended", job: victim.job.id, stepsRun: 5 }, nowMs);
        running.delete(victim.job.id);
      } else if (next.t === "down" && runner !== undefined)
        scheduler.apply({ t: "runner_down", runner: runner.id }, nowMs);
      else if (next.t === "up" && runner !== undefined) scheduler.apply({ t: "runner_up", runner }, nowMs);
      for (const place of scheduler.decide(nowMs, 50).filter((decision) => decision.t === "place")) {
        log.push(`${nowMs} ${place.job.id} ${seats([place]).join()}`);
        if (next.t === "refuse") scheduler.apply({ t: "refused", job: place.job.id }, nowMs);
        else {
          scheduler.apply({ t: "committed", job: place.job.id }, nowMs);
          running.set(place.job.id, place);
        }
      }
      for (const [id, device] of devices) {
        const here = [...running.values()].filter((place) => place.devices.includes(id));
        const taken = here.map(({ slot }) => slot);
        expect(new Set(taken).size, "a slot is held once").toBe(taken.length);
        if (taken.includes(null)) expect(taken).toEqual([null]);
        else if (device.slots === 1) expect(taken).toEqual([]);
        expect(Math.max(-1, ...taken.map((slot) => slot ?? 0))).toBeLessThan(device.slots);
        expect(here.reduce((sum, place) => sum + place.vramBytes, 0)).toBeLessThanOrEqual(device.vramBytes);
      }
      for (const { account } of [...running.values()].map((place) => place.job)) {
        const count = [...running.values()].filter((place) => place.job.account === account).length;
        expect(count).toBeLessThanOrEqual(TIERS.find(({ tier }) => tier === "pro")?.accountRunningMax ?? 0);
      }
    });
    return log.join("\n");
  };
  fc.assert(
    fc.property(fc.array(steps, { maxLength: 60 }), (script) => {
      expect(play(script)).toBe(play(script));
    }),
    { numRuns: 100 },
  );
});
