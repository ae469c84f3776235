/** Every job's life, gathered from the log: when it came, waited, ran and ended. */
import { isAttemptEnd } from "../log-record.ts";
import type { LogRecord } from "../log-record.ts";

export interface JobLife {
  readonly job: string;
  readonly account: string;
  readonly tier: string;
  readonly class: string;
  readonly submittedMs: number;
  readonly placedMs: number | null;
  /** Of the last attempt that was placed. */
  readonly k: number;
  readonly endedMs: number | null;
  /** All time in the queue: before the first start, and after every preemption or loss. */
  readonly waitMs: number;
  readonly preemptions: number;
}

type Draft = { -readonly [K in keyof JobLife]: JobLife[K] } & { waitsSinceMs: number };

export function jobLives(records: readonly LogRecord[]): readonly JobLife[] {
  const drafts = new Map<string, Draft>();
  for (const record of records) {
    if (record.event === "submitted") {
      const { job, account, tier, t_ms: submittedMs } = record;
      drafts.set(job, {
        job,
        account,
        tier,
        class: record.class,
        submittedMs,
        placedMs: null,
        k: 0,
        endedMs: null,
        waitMs: 0,
        preemptions: 0,
        waitsSinceMs: submittedMs,
      });
    } else if (record.event === "placed") {
      const draft = drafts.get(record.job);
      if (draft === undefined) continue;
      draft.placedMs ??= record.t_ms;
      draft.k = record.k;
      draft.waitMs += record.t_ms - draft.waitsSinceMs;
    } else if (isAttemptEnd(record)) {
      const draft = drafts.get(record.job);
      if (draft === undefined) continue;
      if (record.event === "preempted") draft.preemptions++;
      if (record.event === "finished" || record.event === "failed") draft.endedMs = record.t_ms;
      draft.waitsSinceMs = record.t_ms;
    }
  }
  return [...drafts.values()];
}
