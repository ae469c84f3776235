/** Attempts of the past, over all jobs: what a new leader learns its estimates from, and how many broke lately. */
import { BUDGET_WINDOW_MS } from "#control-plane/core/retry-budget.ts";
import type { RetryLoad } from "#control-plane/core/retry-budget.ts";
import type { Outcome } from "#control-plane/core/scheduler/cost-correction.ts";
import type { Sql, Transaction } from "./connect.ts";

/** Attempts looked back at, and outcomes kept of each (build, model, GPU, gang): older ones weigh nothing any more. */
const ATTEMPTS_MAX = 4_096;
const OUTCOMES_PER_KEY_MAX = 64;

/** Oldest first, as they were learnt from when they happened. */
export async function recentOutcomes(sql: Sql): Promise<readonly Outcome[]> {
  return sql<Outcome[]>`
    select build, model, gpu, k, stage, predicted_ms, actual_ms as observed_ms
    from (
      select a.build, j.model, a.gpu, a.k, s.stage, s.predicted_ms, s.actual_ms, a.ended_at, a.job_id,
        row_number() over (partition by a.build, j.model, a.gpu, a.k order by a.ended_at desc, a.job_id desc) as age
      from (select * from attempt where ended_at is not null order by ended_at desc limit ${ATTEMPTS_MAX}) as a
      join attempt_stage s on s.job_id = a.job_id and s.epoch = a.epoch and s.stage in ('denoise', 'run')
      join job j on j.id = a.job_id
    ) as ranked
    where age <= ${OUTCOMES_PER_KEY_MAX}
    order by ended_at, job_id`;
}

/** How many attempts broke within the budget's window, beside how many began; and what the operator allows a minute, if he says. */
export async function retryLoad(tx: Transaction): Promise<RetryLoad> {
  const since = tx`now() - make_interval(secs => ${BUDGET_WINDOW_MS / 1_000})`;
  const [row] = await tx<RetryLoad[]>`
    select
      (select count(*) from attempt where ended_at > ${since} and outcome in ('failed', 'lost'))::int as broken,
      (select count(*) from attempt where started_at > ${since})::int as dispatched,
      (select value from scheduler_limit where name = 'retries_per_minute') as per_minute`;
  return row ?? { broken: 0, dispatched: 0, perMinute: null };
}
