/**
 * What holds after every event, whatever happens: random histories of a small world that drives the real scheduler.
 *
 * Which test would notice which fault was tried by planting faults; the list is in docs/scheduling.md.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { QueuedJob } from "#control-plane/core/scheduler/event.ts";
import { check } from "./check.ts";
import { FAULT_FREE, history } from "./command.ts";
import { ALWAYS, KeptReservations, NoBanking, workConserving } from "./laws.ts";
import { fallingPotential, NoPreemptionCycle } from "./preemption-laws.ts";
import { classOf, COST, LOAD_MS, RUNNERS } from "./studio.ts";
import { World } from "./world.ts";

/** Some jobs take half, some twice as long as estimated. */
const luck = ({ seq }: QueuedJob) => [1, 1, 0.5, 2][seq % 4] ?? 1;
const NEVER = { reserveAfterMs: Infinity, preemptAfterMs: Infinity };

describe("whatever happens", () => {
  test("one job a device, gangs whole and fitting, one run a job, caps exact, no device idle for which a job waits", () => {
    let ended = 0;
    check(
      400,
      fc.property(history(), (commands) => {
        ended += new World({ luck, laws: [...ALWAYS, new NoPreemptionCycle()] }).play(commands).ended;
      }),
    );
    expect(ended, "much has run").toBeGreaterThan(1_000);
  });

  test("without reservations and preemption no device ever idles while a job that may run fits", () => {
    check(
      200,
      fc.property(history(), (commands) => {
        const world = new World({ luck, limits: NEVER, laws: ALWAYS }).play(commands);
        expect(world.leader.reservations).toEqual([]);
      }),
    );
  });

  test("an account that comes back has saved up nothing, and no refund puts it before those who stayed", () => {
    let comebacks = 0;
    check(
      300,
      fc.property(history(), (commands) => {
        const law = new NoBanking();
        new World({ luck, laws: [law] }).play(commands);
        comebacks += law.comebacks;
      }),
    );
    expect(comebacks).toBeGreaterThan(1_000);
  });

  test("once the faults stop, every job ends", () => {
    check(
      200,
      fc.property(history(), (commands) => {
        const world = new World({ luck, laws: ALWAYS }).play(commands);
        expect(world.drain(world.nowMs + boundMs(world)), "all ended").toBe(true);
      }),
    );
  });
});

describe("while nothing fails and estimates are true", () => {
  test("a reservation's start is met", () => {
    let reservations = 0;
    check(
      400,
      fc.property(history({ kinds: FAULT_FREE }), (commands) => {
        const law = new KeptReservations();
        new World({ laws: [law] }).play(commands);
        reservations += law.seen;
      }),
    );
    expect(reservations).toBeGreaterThan(10);
  });

  test("a reservation for a gang is met behind a stream of small jobs", () => {
    const runners = RUNNERS.filter(({ id }) => id === "r1" || id === "r2");
    let reservations = 0;
    check(
      300,
      fc.property(history({ kinds: ["submit", "pass"], classes: ["small", "small", "gang"], stepsMax: 60 }), (all) => {
        const law = new KeptReservations();
        const limits = { reserveAfterMs: 5_000, preemptAfterMs: Infinity };
        new World({ runners, limits, laws: [law, workConserving] }).play(all);
        reservations += law.seen;
      }),
    );
    expect(reservations).toBeGreaterThan(100);
  });

  test("what several victims free is kept until the last of them has stopped", () => {
    const world = new World({ runners: RUNNERS.filter(({ id }) => id === "r1"), laws: [...ALWAYS, fallingPotential] });
    world.submit({ account: "a0", class: "pair", steps: 400, weights: "w" });
    world.do({ t: "pass", ms: 100 });
    world.submit({ account: "a1", class: "pair", steps: 600, weights: "w" });
    world.do({ t: "pass", ms: 30_050 });
    const gang = world.submit({ account: "a2", class: "gang", steps: 8, weights: "w" });
    world.settle();
    world.do({ t: "pass", ms: 12_000 });
    // Both stop for the gang, each at its own boundary; neither starts again before it.
    expect(world.log.filter((line) => line.includes("preempt")).length).toBe(2);
    const starts = world.log.filter((line) => line.includes("place")).map((line) => line.split(" ")[2]);
    expect(starts).toEqual(["a0-j001", "a1-j001", gang.id]);
  });

  test("every preemption lowers the potential, so nobody can push back", () => {
    let preemptions = 0;
    check(
      400,
      fc.property(history({ kinds: FAULT_FREE }), (commands) => {
        const law = new NoPreemptionCycle();
        new World({ laws: [fallingPotential, law] }).play(commands);
        preemptions += law.preemptions;
      }),
    );
    expect(preemptions).toBeGreaterThan(10);
  });

  test("every job ends, in no more time than all of them need one after the other", () => {
    check(
      200,
      fc.property(history({ kinds: FAULT_FREE }), (commands) => {
        const world = new World().play(commands);
        const jobs = world.waiting.size + world.running.size + world.ended;
        expect(world.drain(world.nowMs + boundMs(world)), "all ended").toBe(true);
        expect(world.ended, "each once").toBe(jobs);
      }),
    );
  });
});

test("the same history decides the same, byte for byte", () => {
  check(
    150,
    fc.property(history(), (commands) => {
      const [first, again] = [0, 0].map(() => new World({ luck }).play(commands).log.join("\n"));
      expect(again).toBe(first);
    }),
  );
});

/** All that waits and runs, one after the other, on the slowest gang, loaded anew and preempted as often as may be. */
function boundMs(world: World): number {
  const jobs = [...world.waiting.values(), ...[...world.running.values()].map(({ place }) => place.job)];
  const slowestMs = (job: QueuedJob) => {
    const times = classOf(job.class).shapes.map(({ k }) => COST.runMs(job.class, "slow", k, job.steps) ?? 0);
    return LOAD_MS + 2 * Math.max(...times);
  };
  const backoffMs = Math.max(0, ...jobs.map(({ notBeforeMs }) => notBeforeMs - world.nowMs));
  return backoffMs + jobs.reduce((sum, job) => sum + (1 + world.limits.preemptionsMax) * slowestMs(job), 0);
}
