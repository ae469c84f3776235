/** Writes down what happens in a run, one record a fact. */
import type { SimJob, Quote, Run } from "./sim-job.ts";
import type { AttemptEnd, LogRecord } from "./log-record.ts";

/** A quote counts for a start if it was made at least this long before. */
export const QUOTE_AGE_MS = 60_000;

export class Scribe {
  readonly records: LogRecord[] = [];

  submitted(job: SimJob, chargeMs: number, quote: Quote | null): void {
    const eta = quote === null ? {} : etaOf(quote);
    const { weights } = job;
    this.records.push({
      event: "submitted",
      ...named(job, job.submittedAtMs),
      weights,
      gpu_seconds: chargeMs / 1_000,
      ...eta,
    });
  }

  rejected(job: SimJob): void {
    this.records.push({ event: "rejected", ...named(job, job.submittedAtMs) });
  }

  placed(job: SimJob, run: Run): void {
    const quote = job.quotes.find(({ atMs }) => run.startMs - atMs >= QUOTE_AGE_MS);
    this.records.push({
      event: "placed",
      ...named(job, run.startMs),
      ...onDevices(run),
      epoch: job.epoch,
      gpu_seconds: run.chargeMs / 1_000,
      lost_gpu_s: job.interrupted ? (run.loadMs * run.k) / run.batchSize / 1_000 : 0,
      cold_s: run.loadMs / 1_000,
      ...(quote === undefined ? {} : { ...etaOf(quote), eta_at_ms: quote.atMs }),
    });
  }

  checkpointed(job: SimJob, run: Run, nowMs: number): void {
    const { epoch, stepsDone } = job;
    this.records.push({
      event: "checkpointed",
      ...named(job, nowMs),
      runner: run.runner,
      epoch,
      steps_done: stepsDone,
    });
  }

  attemptEnded(
    event: AttemptEnd["event"],
    job: SimJob,
    run: Run,
    end: { nowMs: number; stepsRun: number; lostMs: number },
  ): void {
    this.records.push({
      event,
      ...named(job, end.nowMs),
      ...onDevices(run),
      epoch: job.epoch,
      gpu_seconds: (run.chargeMs * end.stepsRun) / run.planned / 1_000,
      lost_gpu_s: (end.lostMs * run.k) / run.batchSize / 1_000,
    });
  }

  runner(event: "runner_lost" | "runner_back", runner: string, nowMs: number): void {
    this.records.push({ event, t_ms: nowMs, runner });
  }
}

function named(job: SimJob, nowMs: number) {
  return { t_ms: nowMs, job: job.id, account: job.account, tier: job.tier, class: job.class };
}

function onDevices({ runner, devices, slot, batch, k }: Run) {
  return {
    runner,
    devices: [...devices],
    ...(slot === null ? {} : { slot }),
    ...(batch === null ? {} : { batch }),
    k,
  };
}

function etaOf(quote: Quote) {
  return { eta_p50_s: Math.round(quote.p50Ms) / 1_000, eta_p90_s: Math.round(quote.p90Ms) / 1_000 };
}
