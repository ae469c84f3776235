/** Jobs that run together: who is taken along, what each is charged, and what a batch holds until its last job leaves. */
import { expect, test } from "vitest";
import { SeededCostModel } from "#control-plane/core/scheduler/cost-model.ts";
import type { DeclaredCost } from "#control-plane/core/scheduler/cost-model.ts";
import type { Place, QueuedJob } from "#control-plane/core/scheduler/event.ts";
import type { JobClass } from "#control-plane/core/scheduler/job-class.ts";
import { PRODUCTION_LIMITS } from "#control-plane/core/scheduler/limits.ts";
import { Scheduler } from "#control-plane/core/scheduler/scheduler.ts";
import { aQueuedJob, aRunner, TIERS } from "#tests/support/toy-studio.ts";

const GIB = 2 ** 30;
/** A step takes a second, each further job of a batch adds a quarter of it. */
const TINY: JobClass = {
  id: "tiny",
  model: "m",
  shapes: [{ k: 1, vramBytes: 10 * GIB }],
  resume: "exact",
  batchMax: 4,
  batchFactor: 0.25,
};

const A_SECOND = { encodeMs: 0, stepMs: 1_000, decodeMs: 0 };
const A_SECOND_A_STEP: DeclaredCost = {
  gangs: new Map([
    [1, A_SECOND],
    [2, A_SECOND],
  ]),
  loadMs: 0,
  charge: { fixedMs: 0, stepMs: 1_000 },
};

function aBatchingScheduler(jobClass: JobClass, accounts: readonly string[], runner = aRunner(0, 1)): Scheduler {
  const cost = new SeededCostModel();
  cost.declare(jobClass, A_SECOND_A_STEP);
  const scheduler = new Scheduler(cost, { ...PRODUCTION_LIMITS, reserveAfterMs: 1_000, preemptAfterMs: 1e9 });
  scheduler.apply({ t: "class", class: jobClass }, 0);
  for (const terms of TIERS) scheduler.apply({ t: "tier", terms }, 0);
  for (const account of accounts) scheduler.apply({ t: "account", account, tier: tierOf(account) }, 0);
  scheduler.apply({ t: "runner_up", runner }, 0);
  return scheduler;
}

/** `pro-a` is an account of the tier pro. */
function tierOf(account: string): string {
  return account.split("-")[0] ?? "free";
}

function queue(scheduler: Scheduler, seq: number, account: string, more: Partial<QueuedJob> = {}): void {
  scheduler.apply({ t: "queued", job: aQueuedJob(seq, account, { class: "tiny", ...more }) }, 0);
}

function placed(scheduler: Scheduler, nowMs = 0): readonly Place[] {
  return scheduler.decide(nowMs, 100).filter((decision) => decision.t === "place");
}

const idOf = (seq: number) => aQueuedJob(seq, "").id;
const seqs = (places: readonly Place[]) => places.map(({ job }) => job.seq);

test("a dispatch takes along those that fairness would serve next, up to the class's number", () => {
  const scheduler = aBatchingScheduler(TINY, ["pro-a", "pro-b", "pro-c"]);
  for (const seq of [0, 1, 2, 3]) queue(scheduler, seq, "pro-a");
  queue(scheduler, 4, "pro-b");
  queue(scheduler, 5, "pro-c");
  const places = placed(scheduler);
  expect(seqs(places)).toEqual([0, 4, 5, 1]);
  for (const place of places) expect(place).toMatchObject({ batch: idOf(0), devices: ["0.0"], estimateMs: 17_500 });
});

test("only jobs of equal weights and remaining steps run together", () => {
  const scheduler = aBatchingScheduler(TINY, ["pro-a", "pro-b", "pro-c", "pro-d"]);
  queue(scheduler, 0, "pro-a");
  queue(scheduler, 1, "pro-b", { weights: "other" });
  queue(scheduler, 2, "pro-c", { steps: 11 });
  queue(scheduler, 3, "pro-d", { steps: 12, stepsDone: 2 });
  expect(seqs(placed(scheduler))).toEqual([0, 3]);
});

test("each is charged its part of the gang's time, and gets back its part of what did not run", () => {
  const scheduler = aBatchingScheduler(TINY, ["pro-a", "pro-b"]);
  queue(scheduler, 0, "pro-a");
  queue(scheduler, 1, "pro-b");
  placed(scheduler);
  // 10 s alone, 12.5 s together: 6,250 ms each, over the weight 10, in thousandths.
  const tags = () => scheduler.clock(["pro-a", "pro-b"]).accounts.map(({ tag }) => tag);
  expect(tags()).toEqual([625_000, 625_000]);
  scheduler.apply({ t: "ended", job: idOf(0), stepsRun: 4 }, 5_000);
  expect(tags()).toEqual([250_000, 625_000]);
});

test("a job alone is charged and estimated as ever", () => {
  const scheduler = aBatchingScheduler(TINY, ["pro-a"]);
  queue(scheduler, 0, "pro-a");
  expect(placed(scheduler)).toMatchObject([{ batch: null, estimateMs: 10_000 }]);
  expect(scheduler.clock(["pro-a"]).accounts).toEqual([{ account: "pro-a", tag: 1_000_000 }]);
});

test("a batch never takes an account or a tier over its cap", () => {
  const scheduler = aBatchingScheduler(TINY, ["free-a", "free-b"]);
  for (const seq of [0, 1]) queue(scheduler, seq, "free-a");
  for (const seq of [2, 3]) queue(scheduler, seq, "free-b");
  expect(seqs(placed(scheduler))).toEqual([0, 2]);
  const narrow = aBatchingScheduler(TINY, ["pro-a"]);
  for (const terms of TIERS) narrow.apply({ t: "tier", terms: { ...terms, tierRunningMax: 3 } }, 0);
  for (const seq of [0, 1, 2, 3]) queue(narrow, seq, "pro-a");
  expect(placed(narrow)).toHaveLength(3);
});

test("a batch is as large as the memory of its gang allows, in a slot as large as what is left there", () => {
  const small = aBatchingScheduler(TINY, ["pro-a"], aRunner(0, 1, { vramBytes: 29 * GIB }));
  for (const seq of [0, 1, 2, 3]) queue(small, seq, "pro-a");
  expect(seqs(placed(small))).toEqual([0, 1]);
  const shared = aBatchingScheduler(TINY, ["pro-a"], aRunner(0, 1, { slots: 2, vramBytes: 60 * GIB }));
  for (let seq = 0; seq < 8; seq++) queue(shared, seq, "pro-a");
  expect(placed(shared).map(({ batch, slot }) => [batch, slot])).toEqual([
    ...[0, 1, 2, 3].map(() => [idOf(0), 0]),
    ...[4, 5].map(() => [idOf(4), 1]),
  ]);
});

test("where it gains nothing nobody is taken along", () => {
  const scheduler = aBatchingScheduler({ ...TINY, batchFactor: 1 }, ["pro-a"], aRunner(0, 2));
  for (const seq of [0, 1]) queue(scheduler, seq, "pro-a");
  expect(placed(scheduler).map(({ batch, devices }) => [batch, devices])).toEqual([
    [null, ["0.0"]],
    [null, ["0.1"]],
  ]);
});

test("a gang is held until the last of its batch leaves, whichever was refused or ended before", () => {
  const scheduler = aBatchingScheduler(TINY, ["pro-a", "pro-b"]);
  for (const seq of [0, 1, 2]) queue(scheduler, seq, "pro-a");
  expect(placed(scheduler)).toHaveLength(3);
  queue(scheduler, 3, "pro-b");
  scheduler.apply({ t: "refused", job: idOf(0) }, 0);
  for (const seq of [1, 2]) scheduler.apply({ t: "committed", job: idOf(seq) }, 0);
  expect(placed(scheduler)).toEqual([]);
  scheduler.apply({ t: "ended", job: idOf(1), stepsRun: 10 }, 0);
  expect(placed(scheduler)).toEqual([]);
  scheduler.apply({ t: "ended", job: idOf(2), stepsRun: 10 }, 0);
  expect(seqs(placed(scheduler))).toEqual([3]);
});

test("a batch is made smaller rather than let it delay who reserved the devices", () => {
  const pair: JobClass = { ...TINY, shapes: [{ k: 2, vramBytes: 20 * GIB }], batchMax: 1, id: "pair" };
  const cost = new SeededCostModel();
  for (const jobClass of [TINY, pair]) cost.declare(jobClass, A_SECOND_A_STEP);
  const scheduler = new Scheduler(cost, { ...PRODUCTION_LIMITS, reserveAfterMs: 1_000, preemptAfterMs: 1e9 });
  for (const jobClass of [TINY, pair]) scheduler.apply({ t: "class", class: jobClass }, 0);
  for (const terms of TIERS) scheduler.apply({ t: "tier", terms }, 0);
  for (const account of ["pro-a", "pro-b", "pro-c"]) scheduler.apply({ t: "account", account, tier: "pro" }, 0);
  scheduler.apply({ t: "runner_up", runner: aRunner(0, 2) }, 0);
  queue(scheduler, 0, "pro-a", { steps: 20 });
  placed(scheduler);
  scheduler.apply({ t: "queued", job: aQueuedJob(1, "pro-b", { class: "pair" }) }, 0);
  for (const nowMs of [0, 2_000]) placed(scheduler, nowMs);
  // The gang reserved both devices from 20 s on: alone this takes 14 s, by twos 17.5 s, by threes 21 s.
  for (const seq of [2, 3, 4]) queue(scheduler, seq, "pro-c", { steps: 14 });
  expect(seqs(placed(scheduler, 2_000))).toEqual([2, 3]);
});
