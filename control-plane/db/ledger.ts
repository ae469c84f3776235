/** Settles a job's hold: what is captured leaves its grants for good, the rest becomes spendable again. */
import type { Lot } from "#control-plane/core/settlement.ts";
import type { VideoId } from "#protocol/id.ts";
import type { MilliCredits } from "#protocol/unit.ts";
import type { Transaction } from "./connect.ts";

/** The open hold's lots in burn order; empty if the hold is settled already. */
export async function openLots(tx: Transaction, job: VideoId): Promise<readonly Lot[]> {
  return tx<Lot[]>`
    select lot.grant_id, lot.amount
    from credit_hold hold join credit_hold_lot lot on lot.job_id = hold.job_id
    where hold.job_id = ${job} and hold.state = 'open'
    order by lot.rank
    for update of hold`;
}

/** Runs once a job: `state = 'open'` is the guard, and the grant's CHECK the second line. */
export async function settleHold(
  tx: Transaction,
  job: VideoId,
  charge: MilliCredits,
  lots: readonly (Lot & { readonly captured: MilliCredits })[],
): Promise<void> {
  await tx`
    with settled as (
      update credit_hold set state = 'settled', captured = ${charge}, released = amount - ${charge}, settled_at = now()
      where job_id = ${job} and state = 'open'
      returning job_id
    ),
    split as (
      select settled.job_id, part.grant_id, part.amount, part.captured
      from settled, unnest(
        ${tx.array(lots.map((lot) => lot.grantId))}::text[],
        ${tx.array(lots.map((lot) => String(lot.amount)))}::bigint[],
        ${tx.array(lots.map((lot) => String(lot.captured)))}::bigint[]
      ) as part (grant_id, amount, captured)
    ),
    lot as (
      update credit_hold_lot set captured = split.captured from split
      where credit_hold_lot.job_id = split.job_id and credit_hold_lot.grant_id = split.grant_id
    )
    update credit_grant set held = held - split.amount, consumed = consumed + split.captured
    from split where credit_grant.id = split.grant_id`;
}
