/** As `control-plane/db/attempts.ts`. */
import type { Outcome } from "#control-plane/core/scheduler/cost-correction.ts";
import type { RetryLoad } from "#control-plane/core/retry-budget.ts";
import { BUDGET_WINDOW_MS } from "#control-plane/core/retry-budget.ts";
import type { Sql, Transaction } from "#control-plane/db/connect.ts";
import { statement } from "../postgres/client.ts";
import { tables } from "../postgres/here.ts";

export function recentOutcomes(sql: Sql): Promise<readonly Outcome[]> {
  return statement(sql, "recentOutcomes", (on) =>
    [...on.rows(tables().attempt)]
      .filter(({ endedAt }) => endedAt !== null)
      .sort((a, b) => Number(a.endedAt) - Number(b.endedAt) || (a.jobId < b.jobId ? -1 : 1))
      .flatMap(({ jobId, build, gpu, k, stages }) =>
        stages
          .filter(({ stage }) => stage === "denoise" || stage === "run")
          .map(({ stage, predictedMs, actualMs }) => {
            const model = on.get(tables().job, jobId)?.model ?? "";
            return { build, model, gpu, k, stage, predictedMs, observedMs: actualMs };
          }),
      ),
  );
}

export function retryLoad(tx: Transaction): Promise<RetryLoad> {
  return statement(tx, "retryLoad", (on) => {
    const since = new Date(on.now.getTime() - BUDGET_WINDOW_MS);
    const rows = [...on.rows(tables().attempt)];
    const broke = rows.filter(
      ({ endedAt, outcome }) => endedAt !== null && endedAt > since && (outcome === "failed" || outcome === "lost"),
    );
    const dispatched = rows.filter(({ startedAt }) => startedAt > since).length;
    return { broken: broke.length, dispatched, perMinute: null };
  });
}
