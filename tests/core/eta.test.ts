import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Place } from "#control-plane/core/scheduler/event.ts";
import { WaitQuantile } from "#control-plane/core/scheduler/quantile.ts";
import type { Explained } from "#control-plane/core/scheduler/quotes.ts";
import { DRY_RUN_MAX } from "#control-plane/core/scheduler/quotes.ts";
import type { Scheduler } from "#control-plane/core/scheduler/scheduler.ts";
import { aQueuedJob, aScheduler, STEP_MS, TIERS } from "#tests/support/toy-studio.ts";

const CAPS = new Map(TIERS.map(({ tier, accountRunningMax }) => [tier, accountRunningMax]));
const FRESH = { dryRunEveryMs: 0 } as const;

interface Span {
  readonly account: string;
  readonly startMs: number;
  readonly endMs: number;
}

function place(scheduler: Scheduler, nowMs: number): readonly Place[] {
  const places = scheduler.decide(nowMs, 1_000).filter((decision) => decision.t === "place");
  for (const { job } of places) scheduler.apply({ t: "committed", job: job.id }, nowMs);
  return places;
}

function explained(scheduler: Scheduler, seq: number, nowMs = 0): Explained {
  const found = scheduler.explain(aQueuedJob(seq, "").id, nowMs);
  if (found === null) throw new Error(`job ${seq} does not wait`);
  return found;
}

/** The most spans that overlap at any start. */
function mostAtOnce(spans: readonly Span[]): number {
  return Math.max(
    0,
    ...spans.map(({ startMs }) => spans.filter((other) => other.startMs <= startMs && startMs < other.endMs).length),
  );
}

/** Up to four accounts of any tier, jobs of any of them, and so many devices. */
const worlds = fc.record({
  tiers: fc.array(fc.constantFrom("free", "plus", "pro"), { minLength: 1, maxLength: 4 }),
  jobs: fc.array(fc.record({ account: fc.nat(3), steps: fc.integer({ min: 1, max: 60 }) }), { maxLength: 60 }),
  devices: fc.integer({ min: 1, max: 6 }),
});

describe("the dry run", () => {
  test("never plans more for an account than its cap, nor more than there are devices", () => {
    fc.assert(
      fc.property(worlds, ({ tiers, jobs, devices }) => {
        const accounts = Object.fromEntries(tiers.map((tier, n) => [`a${n}`, tier]));
        const scheduler = aScheduler([devices], accounts, FRESH);
        jobs.forEach(({ account, steps }, n) => {
          const job = aQueuedJob(n, `a${account % tiers.length}`, { steps });
          scheduler.apply({ t: "queued", job }, 0);
        });
        const running = place(scheduler, 0).map(({ job, estimateMs }) => ({
          account: job.account,
          startMs: 0,
          endMs: estimateMs,
          id: job.id,
        }));
        const started = new Set(running.map(({ id }) => id));
        const planned = jobs.flatMap(({ account }, n): Span[] => {
          if (started.has(aQueuedJob(n, "").id)) return [];
          const { eta } = explained(scheduler, n);
          if (eta === null) throw new Error("every waiting job is told when it starts");
          return [{ account: `a${account % tiers.length}`, startMs: eta.startP50Ms, endMs: eta.finishP50Ms }];
        });
        const spans = [...running, ...planned];
        expect(mostAtOnce(spans)).toBeLessThanOrEqual(devices);
        for (const [n, tier] of tiers.entries()) {
          const own = spans.filter(({ account }) => account === `a${n}`);
          expect(mostAtOnce(own)).toBeLessThanOrEqual(CAPS.get(tier) ?? 0);
        }
      }),
    );
  });

  test("is right to the millisecond where estimates are and nobody new comes", () => {
    fc.assert(
      fc.property(worlds, ({ tiers, jobs, devices }) => {
        const scheduler = aScheduler([devices], Object.fromEntries(tiers.map((tier, n) => [`a${n}`, tier])), FRESH);
        jobs.forEach(({ account, steps }, n) => {
          scheduler.apply({ t: "queued", job: aQueuedJob(n, `a${account % tiers.length}`, { steps }) }, 0);
        });
        const begun = place(scheduler, 0);
        const ends = begun.map(({ job, estimateMs }) => ({ job, endMs: estimateMs }));
        const waiting = jobs
          .map((_, n) => aQueuedJob(n, "").id)
          .filter((id) => !begun.some(({ job }) => job.id === id));
        const told = new Map(waiting.map((id) => [id, scheduler.explain(id, 0)?.eta?.startP50Ms]));
        while (ends.length > 0) {
          const nowMs = Math.min(...ends.map(({ endMs }) => endMs));
          // What ends at one moment ends before the next decision, as in the dry run.
          for (let at = ends.findIndex(({ endMs }) => endMs === nowMs); at >= 0;) {
            const [ended] = ends.splice(at, 1);
            if (ended !== undefined)
              scheduler.apply({ t: "ended", job: ended.job.id, stepsRun: ended.job.steps }, nowMs);
            at = ends.findIndex(({ endMs }) => endMs === nowMs);
          }
          for (const { job, estimateMs } of place(scheduler, nowMs)) {
            expect(told.get(job.id)).toBe(nowMs);
            ends.push({ job, endMs: nowMs + estimateMs });
          }
        }
      }),
    );
  });

  test("tells equal jobs of one account later starts and places the further back they stand, also beyond its end", () => {
    const scheduler = aScheduler([4], { a: "pro", b: "plus" });
    const jobs = DRY_RUN_MAX * 1.25;
    for (let n = 0; n < jobs; n++) scheduler.apply({ t: "queued", job: aQueuedJob(n, n % 5 === 0 ? "b" : "a") }, 0);
    const begun = new Set(place(scheduler, 0).map(({ job }) => job.id));
    for (const turn of [0, 1]) {
      const own = Array.from({ length: jobs }, (_, n) => n).filter(
        (n) => n % 5 === turn * 2 && !begun.has(aQueuedJob(n, "").id),
      );
      const quotes = own.map((n) => explained(scheduler, n));
      for (const figure of [
        quotes.map(({ position }) => position),
        quotes.map(({ eta }) => eta?.startP50Ms ?? Number.NaN),
        quotes.map(({ eta }) => eta?.startP90Ms ?? Number.NaN),
      ]) {
        expect(figure).not.toContain(Number.NaN);
        expect(figure).toEqual(figure.toSorted((x, y) => x - y));
      }
    }
    // Jobs of ten seconds on four devices: whoever is last starts near the end.
    const last = explained(scheduler, jobs - 1).eta?.startP50Ms ?? 0;
    expect(last / ((jobs * 10 * STEP_MS) / 4)).toBeGreaterThan(0.9);
    expect(last / ((jobs * 10 * STEP_MS) / 4)).toBeLessThan(1.1);
  });

  test("does not change what is decided", () => {
    const [asked, left] = [0, 1].map((turn) => {
      const scheduler = aScheduler([2], { a: "pro", b: "free" }, FRESH);
      const history: unknown[] = [];
      for (let n = 0; n < 40; n++) {
        scheduler.apply({ t: "queued", job: aQueuedJob(n, n % 3 === 0 ? "b" : "a", { steps: 1 + (n % 7) }) }, n);
        if (turn === 0) scheduler.explain(aQueuedJob(n, "").id, n);
        for (const { job, devices } of place(scheduler, n)) {
          history.push([job.id, devices]);
          scheduler.apply({ t: "ended", job: job.id, stepsRun: job.steps }, n);
        }
      }
      return history;
    });
    expect(asked).toEqual(left);
  });
});

test("a job that comes between two dry runs is told at once when it starts", () => {
  const scheduler = aScheduler([1], { a: "free", b: "free", c: "free" }, { dryRunEveryMs: 60_000 });
  scheduler.apply({ t: "queued", job: aQueuedJob(1, "a") }, 0);
  place(scheduler, 0);
  scheduler.apply({ t: "queued", job: aQueuedJob(2, "b") }, 0);
  expect(explained(scheduler, 2).eta?.startP50Ms).toBe(10_000);
  scheduler.apply({ t: "queued", job: aQueuedJob(3, "c") }, 1_000);
  const { eta, position } = explained(scheduler, 3, 1_000);
  expect(position).toBe(1);
  expect(eta?.startP50Ms).toBeGreaterThanOrEqual(9_000);
  expect(eta?.startP90Ms).toBeGreaterThanOrEqual(eta?.startP50Ms ?? Infinity);
});

test("what a newcomer would meet is known per tier and class, and unknown where no runner could run it", () => {
  const scheduler = aScheduler([1], { a: "free", b: "free" }, FRESH);
  scheduler.apply({ t: "queued", job: aQueuedJob(1, "a") }, 0);
  place(scheduler, 0);
  scheduler.apply({ t: "queued", job: aQueuedJob(2, "b", { steps: 30 }) }, 0);
  const of = (tier: string, classId: string) =>
    scheduler.outlooks(0).find((outlook) => outlook.tier === tier && outlook.class === classId);
  expect(of("free", "small")).toMatchObject({ queued: 1, backlogMs: 30_000 });
  expect(of("free", "small")?.start?.p50Ms).toBeGreaterThanOrEqual(10_000);
  expect(of("free", "gang")).toMatchObject({ queued: 0, backlogMs: 0, start: null });
  scheduler.apply({ t: "withdrawn", job: aQueuedJob(2, "").id }, 0);
  expect(of("free", "small")).toMatchObject({ queued: 0, backlogMs: 0 });
});

describe("the learned p90", () => {
  /** In (0, 1), evenly, and the same in every run. */
  function* even(): Generator<number, never> {
    for (let state = 12_345; ;) {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      yield ((state >>> 8) + 0.5) / 2 ** 24;
    }
  }

  test.each([0.8, 0.9, 0.95])("comes to cover the asked share %s of a known distribution", (share) => {
    const quantile = new WaitQuantile(share);
    const luck = even();
    // Waits are one to a few times what was predicted, with a long tail.
    const draw = () => 1 - Math.log(luck.next().value) / 2;
    const predictedMs = 15_000 * 2 ** 5 * Math.SQRT2;
    for (let n = 0; n < 2_000; n++) quantile.observe(predictedMs, predictedMs * draw());
    let covered = 0;
    for (let n = 0; n < 20_000; n++) if (predictedMs * draw() <= quantile.boundMs(predictedMs)) covered++;
    expect(covered / 20_000).toBeGreaterThan(share - 0.04);
    expect(covered / 20_000).toBeLessThan(share + 0.04);
  });

  test("forgets what is long past: after a change it covers the new waits", () => {
    const quantile = new WaitQuantile(0.9);
    for (let n = 0; n < 1_000; n++) quantile.observe(100_000, 500_000);
    for (let n = 0; n < 1_000; n++) quantile.observe(100_000, 100_000 + n);
    expect(quantile.boundMs(100_000)).toBeLessThan(150_000);
  });

  test("is never below the prediction and never falls as the prediction rises", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 1e8 }), fc.integer({ min: 0, max: 1e8 })), { maxLength: 300 }),
        fc.integer({ min: 0, max: 1e8 }),
        fc.integer({ min: 0, max: 1e7 }),
        (seen, predictedMs, moreMs) => {
          const quantile = new WaitQuantile(0.9);
          for (const [predicted, actual] of seen) quantile.observe(predicted, actual);
          expect(quantile.boundMs(predictedMs)).toBeGreaterThanOrEqual(predictedMs);
          expect(quantile.boundMs(predictedMs + moreMs)).toBeGreaterThanOrEqual(quantile.boundMs(predictedMs));
        },
      ),
    );
  });
});
