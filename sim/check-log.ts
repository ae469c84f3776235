/**
 * Rechecks a run from its log alone, as an outsider would: devices and slots are held once and their memory suffices, gangs
 * stay in one runner, no account runs more than its cap, every job has one attempt at a time and ends once. Trusts nothing but the
 * first line.
 */
import { CapacityCheck } from "./check-capacity.ts";
import type { Placed } from "./check-capacity.ts";
import { isAttemptEnd } from "./log-record.ts";
import type { AttemptEnd, LogConfig, LogRecord, RunLog } from "./log-record.ts";

/** Faults reported; a broken policy would otherwise fill the memory. */
const FAULTS_MAX = 100;

interface Ground {
  readonly config: LogConfig;
  readonly capacity: CapacityCheck;
  readonly jobs: Map<string, { readonly account: string; readonly class: string; epoch: number; over: boolean }>;
  readonly running: Map<string, Placed>;
  readonly runningOf: Map<string, number>;
  readonly down: Set<string>;
  capViolations: number;
}

export interface LogCheck {
  readonly faults: readonly string[];
  readonly capViolations: number;
}

export function checkLog({ config, records }: RunLog): LogCheck {
  const ground: Ground = {
    config,
    capacity: new CapacityCheck(config),
    jobs: new Map(),
    running: new Map(),
    runningOf: new Map(),
    down: new Set(),
    capViolations: 0,
  };
  const faults: string[] = [];
  let lastMs = 0;
  for (const [index, record] of records.entries()) {
    const found =
      record.t_ms < lastMs ? ["time runs backwards", ...faultsOf(ground, record)] : faultsOf(ground, record);
    lastMs = record.t_ms;
    for (const fault of found) if (faults.length < FAULTS_MAX) faults.push(`line ${index + 2}: ${fault}`);
  }
  for (const [job, { over }] of ground.jobs) if (!over && faults.length < FAULTS_MAX) faults.push(`${job} never ended`);
  return { faults, capViolations: ground.capViolations };
}

function faultsOf(ground: Ground, record: LogRecord): readonly string[] {
  if (record.event === "submitted") {
    const isKnown = ground.jobs.has(record.job);
    ground.capacity.submitted(record.job, record.weights);
    ground.jobs.set(record.job, { account: record.account, class: record.class, epoch: 0, over: false });
    return isKnown ? [`${record.job} is submitted twice`] : [];
  }
  if (record.event === "placed") return placed(ground, record);
  if (isAttemptEnd(record)) return attemptEnded(ground, record);
  if (record.event === "runner_lost") ground.down.add(record.runner);
  if (record.event === "runner_back") ground.down.delete(record.runner);
  return [];
}

function placed(ground: Ground, record: Placed): readonly string[] {
  const job = ground.jobs.get(record.job);
  const faults: string[] = [...ground.capacity.place(record)];
  if (ground.down.has(record.runner)) faults.push(`${record.runner} is down`);
  if (job === undefined) faults.push(`${record.job} is placed but was never submitted`);
  else {
    if (job.over) faults.push(`${record.job} is placed after its end`);
    if (job.account !== record.account || job.class !== record.class) faults.push(`${record.job} changes its owner`);
    if (record.epoch <= job.epoch) faults.push(`${record.job} is placed with epoch ${record.epoch} after ${job.epoch}`);
    job.epoch = record.epoch;
  }
  if (ground.running.has(record.job)) faults.push(`${record.job} runs twice`);
  ground.running.set(record.job, record);
  const running = (ground.runningOf.get(record.account) ?? 0) + 1;
  ground.runningOf.set(record.account, running);
  const cap = ground.config.caps[record.tier] ?? 0;
  if (running > cap) {
    ground.capViolations++;
    faults.push(`${record.account} runs ${running} jobs, its cap is ${cap}`);
  }
  return faults;
}

function attemptEnded(ground: Ground, record: AttemptEnd): readonly string[] {
  const run = ground.running.get(record.job);
  if (run === undefined || run.epoch !== record.epoch) return [`${record.job} ends an attempt that does not run`];
  ground.running.delete(record.job);
  ground.capacity.leave(run);
  ground.runningOf.set(run.account, (ground.runningOf.get(run.account) ?? 0) - 1);
  const job = ground.jobs.get(record.job);
  if (job !== undefined) job.over = record.event === "finished" || record.event === "failed";
  return record.gpu_seconds > run.gpu_seconds + 1e-6 ? [`${record.job} is charged more than was estimated`] : [];
}
