/** As `control-plane/db/attempt-stages.ts`. */
import type { Outcome } from "#control-plane/core/scheduler/cost-correction.ts";
import type { Sql } from "#control-plane/db/connect.ts";
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
