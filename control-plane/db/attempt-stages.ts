/** How long stages of attempts were declared to take, and took: what a new leader learns its estimates from. */
import type { Outcome } from "#control-plane/core/scheduler/cost-correction.ts";
import type { Sql } from "./connect.ts";

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
