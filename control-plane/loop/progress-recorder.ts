/** Step reports of all runners, coalesced: the newest of each job is stored and shown at most once an interval. */
import { progressOf } from "#control-plane/core/progress.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import { recordProgress } from "#control-plane/usecase/record-run.ts";
import type { AccountId, VideoId } from "#protocol/id.ts";
import type { FromRunner, LeaseRef, Stage } from "#protocol/runner.ts";
import { Ticker } from "./ticker.ts";
import type { LoopHost, Service } from "./ticker.ts";

const FLUSH_MS = 200;

interface Report {
  readonly lease: LeaseRef;
  readonly progress: number;
  readonly stage: Stage;
}

export interface ShownProgress {
  readonly account: AccountId;
  readonly job: VideoId;
  readonly progress: number;
  readonly stage: Stage;
}

export class ProgressRecorder implements Service {
  readonly #sql: Sql;
  readonly #show: (shown: readonly ShownProgress[]) => void;
  readonly #ticker: Ticker;
  #pending = new Map<VideoId, Report>();

  constructor(sql: Sql, host: LoopHost, show: (shown: readonly ShownProgress[]) => void) {
    this.#sql = sql;
    this.#show = show;
    this.#ticker = new Ticker("progress", FLUSH_MS, host, () => this.#flush());
  }

  start(): void {
    this.#ticker.start();
  }

  stop(): Promise<void> {
    return this.#ticker.stop();
  }

  report(frame: Extract<FromRunner, { t: "step" | "stage" }>): void {
    const progress = frame.t === "step" ? progressOf(frame.stage, frame.done, frame.of) : progressOf(frame.stage, 0, 1);
    this.#pending.set(frame.lease.job, { lease: frame.lease, progress, stage: frame.stage });
  }

  async #flush(): Promise<void> {
    if (this.#pending.size === 0) return;
    const batch = this.#pending;
    this.#pending = new Map();
    const rows = await recordProgress(
      this.#sql,
      [...batch.values()].map(({ lease, progress, stage }) => ({ lease, progress, uploading: stage === "upload" })),
    );
    this.#show(
      rows.map((row) => ({
        account: row.accountId,
        job: row.id,
        progress: row.progress,
        stage: batch.get(row.id)?.stage ?? "denoise",
      })),
    );
  }
}
