import fc from "fast-check";
import { expect, test } from "vitest";
import { explainAll } from "#control-plane/core/explain.ts";
import { Scheduler } from "#control-plane/core/scheduler.ts";
import type { Placement, WaitingJob } from "#control-plane/core/scheduler.ts";
import { AccountId, DeviceId, RunnerId, VideoId } from "#protocol/id.ts";

const accountOf = (n: number) => AccountId.parse(`acct_${String(n).padStart(16, "0")}`);
const jobOf = (n: number) => VideoId.parse(`video_${n.toString(16).padStart(32, "0")}`);
const RUNNER = RunnerId.parse("runner-1");

function aJob(n: number, account: number, gpuMs = 1_000, notBeforeMs = 0): WaitingJob {
  return {
    id: jobOf(n),
    account: accountOf(account),
    model: "reference",
    class: "192p/1s",
    gpuMs,
    createdAtMs: n,
    notBeforeMs,
    avoid: null,
  };
}

function aStudio(devices: number, accounts: readonly { weight: number; maxRunning: number }[]): Scheduler {
  const scheduler = new Scheduler();
  accounts.forEach((terms, n) => scheduler.apply({ kind: "account", terms: { account: accountOf(n), ...terms } }));
  const ids = Array.from({ length: devices }, (_, n) => DeviceId.parse(`gpu-${n}`));
  scheduler.apply({ kind: "runner_up", runner: { runner: RUNNER, models: ["reference"], devices: ids } });
  return scheduler;
}

function place(scheduler: Scheduler, nowMs = 0): readonly Placement[] {
  const placements = scheduler.decide(nowMs, 100);
  for (const { job } of placements) scheduler.apply({ kind: "placed", job: job.id, atMs: nowMs });
  return placements;
}

test("an account that floods the queue does not hold up another's single video", () => {
  const scheduler = aStudio(1, [
    { weight: 1, maxRunning: 10 },
    { weight: 1, maxRunning: 10 },
  ]);
  for (let n = 0; n < 50; n++) scheduler.apply({ kind: "waiting", job: aJob(n, 0) });
  scheduler.apply({ kind: "waiting", job: aJob(99, 1) });
  expect(place(scheduler).map(({ job }) => job.id)).toEqual([jobOf(0)]);
  scheduler.apply({ kind: "ended", job: jobOf(0), atMs: 1_000 });
  expect(place(scheduler, 1_000).map(({ job }) => job.id)).toEqual([jobOf(99)]);
});

test("a heavier tier gets its share of GPU time", () => {
  const scheduler = aStudio(1, [
    { weight: 1, maxRunning: 1 },
    { weight: 4, maxRunning: 1 },
  ]);
  for (let n = 0; n < 100; n++) scheduler.apply({ kind: "waiting", job: aJob(n, n % 2) });
  const served = [0, 0];
  for (let turn = 0; turn < 50; turn++) {
    const [placement] = place(scheduler, turn * 1_000);
    if (placement === undefined) throw new Error("the queue is not empty");
    served[placement.job.account === accountOf(0) ? 0 : 1] =
      (served[placement.job.account === accountOf(0) ? 0 : 1] ?? 0) + 1;
    scheduler.apply({ kind: "ended", job: placement.job.id, atMs: (turn + 1) * 1_000 });
  }
  expect(served).toEqual([10, 40]);
});

test("an account that comes back after idling has saved up nothing", () => {
  const scheduler = aStudio(1, [
    { weight: 1, maxRunning: 1 },
    { weight: 1, maxRunning: 1 },
  ]);
  for (let n = 0; n < 20; n++) scheduler.apply({ kind: "waiting", job: aJob(n, 0) });
  for (let turn = 0; turn < 10; turn++) {
    const [placement] = place(scheduler, turn * 1_000);
    if (placement !== undefined) scheduler.apply({ kind: "ended", job: placement.job.id, atMs: (turn + 1) * 1_000 });
  }
  for (let n = 100; n < 110; n++) scheduler.apply({ kind: "waiting", job: aJob(n, 1) });
  const order: string[] = [];
  for (let turn = 10; turn < 16; turn++) {
    const [placement] = place(scheduler, turn * 1_000);
    if (placement === undefined) throw new Error("the queue is not empty");
    order.push(placement.job.account === accountOf(1) ? "back" : "busy");
    scheduler.apply({ kind: "ended", job: placement.job.id, atMs: (turn + 1) * 1_000 });
  }
  expect(order.filter((who) => who === "back").length).toBeLessThanOrEqual(4);
});

test("a job goes to another runner than the one that lost it, unless that is the only one", () => {
  const scheduler = aStudio(1, [{ weight: 1, maxRunning: 1 }]);
  const other = RunnerId.parse("runner-2");
  const devices = [DeviceId.parse("gpu-0")];
  scheduler.apply({ kind: "runner_up", runner: { runner: other, models: ["reference"], devices } });
  scheduler.apply({ kind: "waiting", job: { ...aJob(1, 0), avoid: RUNNER } });
  expect(scheduler.decide(0, 1)).toMatchObject([{ runner: other }]);
  scheduler.apply({ kind: "refused", job: jobOf(1) });
  scheduler.apply({ kind: "runner_down", runner: other });
  scheduler.apply({ kind: "waiting", job: { ...aJob(1, 0), avoid: RUNNER } });
  expect(scheduler.decide(0, 1)).toMatchObject([{ runner: RUNNER }]);
});

test("a refused placement leaves the fairness as if it had never been tried", () => {
  const scheduler = aStudio(1, [{ weight: 1, maxRunning: 1 }]);
  scheduler.apply({ kind: "waiting", job: aJob(1, 0) });
  const before = scheduler.world.accounts.get(accountOf(0))?.tag;
  const [placement] = scheduler.decide(0, 1);
  expect(placement?.job.id).toBe(jobOf(1));
  scheduler.apply({ kind: "refused", job: jobOf(1) });
  expect(scheduler.world.accounts.get(accountOf(0))?.tag).toBe(before);
  expect(scheduler.world.running.size).toBe(0);
});

test("a job in backoff waits and says so", () => {
  const scheduler = aStudio(1, [{ weight: 1, maxRunning: 1 }]);
  scheduler.apply({ kind: "waiting", job: aJob(1, 0, 1_000, 5_000) });
  expect(scheduler.decide(0, 1)).toEqual([]);
  expect(explainAll(scheduler.world, 0).get(jobOf(1))).toMatchObject({ position: 0, blockedBy: "backoff" });
  expect(scheduler.decide(5_000, 1)).toHaveLength(1);
});

test("the reason of a wait is the one that holds it: concurrency, no runner, others, or capacity", () => {
  const scheduler = aStudio(1, [
    { weight: 1, maxRunning: 1 },
    { weight: 1, maxRunning: 1 },
  ]);
  scheduler.apply({ kind: "waiting", job: aJob(1, 0) });
  place(scheduler);
  scheduler.apply({ kind: "waiting", job: aJob(2, 0) });
  expect(explainAll(scheduler.world, 0).get(jobOf(2))?.blockedBy).toBe("account_concurrency");
  scheduler.apply({ kind: "waiting", job: aJob(3, 1) });
  expect(explainAll(scheduler.world, 0).get(jobOf(3))).toMatchObject({
    blockedBy: "fair_share",
    position: 0,
    eta: { start_p50: 1, finish_p50: 2 },
  });
  scheduler.apply({ kind: "withdrawn", job: jobOf(2) });
  expect(explainAll(scheduler.world, 0).get(jobOf(3))?.blockedBy).toBe("capacity");
  scheduler.apply({ kind: "runner_down", runner: RUNNER });
  expect(explainAll(scheduler.world, 0).get(jobOf(3))).toMatchObject({ blockedBy: "no_runner", eta: null });
});

test("whatever happens, no device runs two jobs and no account exceeds its cap", () => {
  const command = fc.oneof(
    fc.record({ kind: fc.constant("submit"), account: fc.nat(3), gpuMs: fc.integer({ min: 1, max: 50_000 }) }),
    fc.record({ kind: fc.constant("end"), account: fc.nat(3), gpuMs: fc.nat(50_000) }),
    fc.record({ kind: fc.constant("refuse"), account: fc.nat(3), gpuMs: fc.nat() }),
  );
  fc.assert(
    fc.property(fc.array(command, { maxLength: 80 }), fc.integer({ min: 1, max: 5 }), (commands, devices) => {
      const scheduler = aStudio(
        devices,
        [1, 2, 3, 4].map((n) => ({ weight: n, maxRunning: n })),
      );
      let clock = 0;
      commands.forEach((next, n) => {
        clock += next.gpuMs % 5_000;
        const busy = [...scheduler.world.running.keys()];
        const victim = busy[next.account % Math.max(1, busy.length)];
        if (next.kind === "submit") scheduler.apply({ kind: "waiting", job: aJob(n, next.account, next.gpuMs) });
        else if (victim !== undefined)
          scheduler.apply(
            next.kind === "end" ? { kind: "ended", job: victim, atMs: clock } : { kind: "refused", job: victim },
          );
        place(scheduler, clock);
        const held = [...scheduler.world.running.values()].flatMap((running) => running.devices);
        expect(new Set(held).size).toBe(held.length);
        for (const account of scheduler.world.accounts.values()) {
          expect(account.running.size).toBeLessThanOrEqual(account.terms.maxRunning);
        }
      });
    }),
    { numRuns: 200 },
  );
});

test("continuously waiting accounts never drift apart by more than one job over its weight", () => {
  const weights = [1, 4, 10];
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 20_000 }), { minLength: 60, maxLength: 120 }), (costs) => {
      const scheduler = aStudio(
        1,
        weights.map((weight) => ({ weight, maxRunning: 1_000 })),
      );
      const served = [0, 0, 0];
      costs.forEach((gpuMs, n) => scheduler.apply({ kind: "waiting", job: aJob(n, n % 3, gpuMs) }));
      for (let turn = 0; turn < 20; turn++) {
        const [placement] = place(scheduler, 0);
        if (placement === undefined) throw new Error("everybody still waits");
        const n = weights.findIndex((_, index) => accountOf(index) === placement.job.account);
        served[n] = (served[n] ?? 0) + placement.job.gpuMs / (weights[n] ?? 1);
        scheduler.apply({ kind: "ended", job: placement.job.id, atMs: placement.job.gpuMs });
        const backlogged = [...scheduler.world.accounts.values()].every((account) => account.waiting.size > 0);
        if (!backlogged) return;
        // P1 of the fairness bounds: c_max / w_min. (Tags are rounded up by at most one unit a job.)
        expect(Math.max(...served) - Math.min(...served)).toBeLessThanOrEqual(20_000 / 1 + 1);
      }
    }),
    { numRuns: 100 },
  );
});
