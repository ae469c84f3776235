/**
 * What a decision costs: a full cluster with a standing backlog, one job ends, one is placed, again and again.
 *
 * `npm run bench:scheduler`; figures are medians and p99 over the turns of one run, on this machine.
 */
import { Scheduler } from "#control-plane/core/scheduler/scheduler.ts";
import { aQueuedJob, aRunner, CLASSES, TIERS, TOY_COST } from "#tests/support/toy-studio.ts";

const RUNNERS = 256;
const DEVICES_PER_RUNNER = 8;
const TURNS = 20_000;
const EXPLAINED = 31;
const SIZES = [
  { accounts: 1_000, queued: 10_000 },
  { accounts: 10_000, queued: 100_000 },
  { accounts: 100_000, queued: 1_000_000 },
] as const;

for (const { accounts, queued } of SIZES) {
  const before = memoryBytes();
  const { scheduler, running } = filled(accounts, queued);
  const bytesPerJob = (memoryBytes() - before) / queued;
  const micros: number[] = [];
  let seq = queued;
  for (let turn = 0; turn < TURNS; turn++) {
    const job = running.shift();
    if (job === undefined) throw new Error("the cluster is never empty here");
    const startMs = performance.now();
    scheduler.apply({ t: "ended", job, stepsRun: 1_000 }, turn);
    const decisions = scheduler.decide(turn, 8);
    for (const decision of decisions) {
      if (decision.t !== "place") continue;
      scheduler.apply({ t: "committed", job: decision.job.id }, turn);
      running.push(decision.job.id);
    }
    micros.push(((performance.now() - startMs) * 1_000) / Math.max(1, decisions.length));
    scheduler.apply({ t: "queued", job: aQueuedJob(seq, `a${seq++ % accounts}`, shapeOf(seq)) }, turn);
  }
  micros.sort((a, b) => a - b);
  const at = (share: number) => (micros[Math.floor(micros.length * share)] ?? 0).toFixed(1);
  const total = micros.reduce((sum, value) => sum + value, 0);
  const [dryRunMs, quoteMs] = explaining(scheduler, accounts);
  console.log(
    JSON.stringify({
      accounts,
      queued,
      runners: RUNNERS,
      p50_us: Number(at(0.5)),
      p99_us: Number(at(0.99)),
      decisions_per_s: Math.round((TURNS * 1e6) / total),
      bytes_per_job: Math.round(bytesPerJob),
      dry_run_ms: dryRunMs,
      quote_ms: quoteMs,
    }),
  );
}

/** Milliseconds of a dry run, and of one more quote for an account that it does not reach: medians. */
function explaining(scheduler: Scheduler, accounts: number): readonly [number, number] {
  const [dryRuns, quotes]: [number[], number[]] = [[], []];
  let account = 0;
  const somebodyWaiting = () => {
    for (; ; account = (account + 31) % accounts) {
      const job = scheduler.waitingOf(`a${account}`).at(-1);
      if (job !== undefined) return job;
    }
  };
  for (let turn = 0; turn < EXPLAINED; turn++) {
    for (const times of [dryRuns, quotes]) {
      account++;
      const job = somebodyWaiting();
      const startMs = performance.now();
      scheduler.explain(job, TURNS + turn * 1_000);
      times.push(performance.now() - startMs);
    }
  }
  const median = (times: number[]) => Number((times.toSorted((a, b) => a - b)[times.length >> 1] ?? 0).toFixed(3));
  return [median(dryRuns), median(quotes)];
}

function filled(accounts: number, queued: number): { readonly scheduler: Scheduler; readonly running: string[] } {
  const scheduler = new Scheduler(TOY_COST);
  for (const jobClass of CLASSES) scheduler.apply({ t: "class", class: jobClass }, 0);
  for (const terms of TIERS) scheduler.apply({ t: "tier", terms: { ...terms, tierRunningMax: 1e9 } }, 0);
  for (let n = 0; n < accounts; n++) {
    scheduler.apply({ t: "account", account: `a${n}`, tier: TIERS[n % TIERS.length]?.tier ?? "free" }, 0);
  }
  for (let n = 0; n < queued; n++) {
    scheduler.apply({ t: "queued", job: aQueuedJob(n, `a${n % accounts}`, shapeOf(n)) }, 0);
  }
  for (let n = 0; n < RUNNERS; n++) {
    scheduler.apply({ t: "runner_up", runner: aRunner(n, DEVICES_PER_RUNNER) }, 0);
  }
  const running: string[] = [];
  for (const decision of scheduler.decide(0, RUNNERS * DEVICES_PER_RUNNER)) {
    if (decision.t !== "place") continue;
    scheduler.apply({ t: "committed", job: decision.job.id }, 0);
    running.push(decision.job.id);
  }
  return { scheduler, running };
}

/** Three in four are small, the rest take a gang. */
function shapeOf(n: number) {
  return { class: n % 4 === 0 ? "wide" : "small", steps: 10 + (n % 50), weights: `w${n % 20}` };
}

function memoryBytes(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}
