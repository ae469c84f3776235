/**
 * Rechecks a run from its log alone, as an outsider would: devices are never shared, gangs stay in one runner and fit its
 * memory, no account runs more than its cap, every job has one attempt at a time and ends once. Trusts nothing but the
 * first line.
 */
import { isAttemptEnd } from "./log-record.ts";
import type { AttemptEnd, LogConfig, LogRecord, RunLog } from "./log-record.ts";

/** Faults reported; a broken policy would otherwise fill the memory. */
const FAULTS_MAX = 100;

type Placed = Extract<LogRecord, { event: "placed" }>;

interface Ground {
  readonly config: LogConfig;
  readonly runners: ReadonlyMap<string, LogConfig["runners"][number]>;
  readonly jobs: Map<string, { readonly account: string; readonly class: string; epoch: number; over: boolean }>;
  readonly running: Map<string, Placed>;
  readonly holder: Map<string, string>;
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
    runners: new Map(config.runners.map((runner) => [runner.id, runner])),
    jobs: new Map(),
    running: new Map(),
    holder: new Map(),
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
  const faults: string[] = [...gangFaults(ground, record)];
  if (job === undefined) faults.push(`${record.job} is placed but was never submitted`);
  else {
    if (job.over) faults.push(`${record.job} is placed after its end`);
    if (job.account !== record.account || job.class !== record.class) faults.push(`${record.job} changes its owner`);
    if (record.epoch <= job.epoch) faults.push(`${record.job} is placed with epoch ${record.epoch} after ${job.epoch}`);
    job.epoch = record.epoch;
  }
  if (ground.running.has(record.job)) faults.push(`${record.job} runs twice`);
  ground.running.set(record.job, record);
  for (const device of record.devices) ground.holder.set(device, record.job);
  const running = (ground.runningOf.get(record.account) ?? 0) + 1;
  ground.runningOf.set(record.account, running);
  const cap = ground.config.caps[record.tier] ?? 0;
  if (running > cap) {
    ground.capViolations++;
    faults.push(`${record.account} runs ${running} jobs, its cap is ${cap}`);
  }
  return faults;
}

function gangFaults(ground: Ground, record: Placed): readonly string[] {
  const runner = ground.runners.get(record.runner);
  if (runner === undefined) return [`${record.runner} is no runner`];
  const faults: string[] = [];
  if (ground.down.has(record.runner)) faults.push(`${record.runner} is down`);
  const shape = (ground.config.classes[record.class] ?? []).find(({ k }) => k === record.k);
  if (shape === undefined || new Set(record.devices).size !== record.k) faults.push(`${record.job} has an odd gang`);
  else if (shape.vram_gb > runner.vram_gb) faults.push(`${record.job} does not fit into ${record.runner}`);
  for (const device of record.devices) {
    if (!runner.devices.includes(device)) faults.push(`${device} is not of ${record.runner}`);
    const holder = ground.holder.get(device);
    if (holder !== undefined) faults.push(`${device} is given to ${record.job} while ${holder} holds it`);
  }
  return faults;
}

function attemptEnded(ground: Ground, record: AttemptEnd): readonly string[] {
  const run = ground.running.get(record.job);
  if (run === undefined || run.epoch !== record.epoch) return [`${record.job} ends an attempt that does not run`];
  ground.running.delete(record.job);
  for (const device of run.devices) ground.holder.delete(device);
  ground.runningOf.set(run.account, (ground.runningOf.get(run.account) ?? 0) - 1);
  const job = ground.jobs.get(record.job);
  if (job !== undefined) job.over = record.event === "finished" || record.event === "failed";
  return record.gpu_seconds > run.gpu_seconds + 1e-6 ? [`${record.job} is charged more than was estimated`] : [];
}
