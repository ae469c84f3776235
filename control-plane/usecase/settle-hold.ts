/** Ends a job's hold in the transaction that ends the job: capture, release, forfeit or make good. */
import { issue, MAKE_GOOD_MS, settle } from "#control-plane/core/ledger.ts";
import type { MakeGood } from "#control-plane/core/ledger.ts";
import type { Transaction } from "#control-plane/db/connect.ts";
import { closeHold, insertMakeGood, lockLedger, openLots, post } from "#control-plane/db/ledger.ts";
import type { AccountId, VideoId } from "#protocol/id.ts";
import { invariant } from "#protocol/invariant.ts";
import type { MilliCredits } from "#protocol/unit.ts";

export interface Ending {
  readonly job: VideoId;
  readonly account: AccountId;
  readonly charge: MilliCredits;
  readonly fault: "user" | "platform";
}

/** The grant that makes up for what was forfeited, if the platform was at fault. */
export async function settleHold(tx: Transaction, { job, account, charge, fault }: Ending): Promise<MakeGood | null> {
  const [at, lots] = await Promise.all([lockLedger(tx, account), openLots(tx, job)]);
  invariant(at !== null, "a job's account exists");
  const settlement = settle(job, lots, charge, { at, makeGoodUntil: new Date(at.getTime() + MAKE_GOOD_MS), fault });
  const { makeGood, postings } = settlement;
  await Promise.all([
    closeHold(tx, { job, at }, lots, settlement),
    ...(makeGood === null ? [] : [insertMakeGood(tx, account, makeGood)]),
    post(tx, { account, at, job }, [
      ...postings,
      ...(makeGood === null ? [] : [issue("make_good", makeGood.id, makeGood.amount)]),
    ]),
  ]);
  return makeGood;
}
