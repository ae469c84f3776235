/**
 * Tells accounts of a low balance and of grants that end soon, as events of their log. Run by the leader: a pass looks at
 * what moved in the journal since the last one, so it costs what happened, not what there is. A pass that breaks off is
 * made again; a notice that stands is not told twice.
 */
import { EXPIRING_LEAD_MS, LOW_BALANCE, lowBalanceNotice } from "#control-plane/core/credit-notice.ts";
import type { Sql, Transaction } from "#control-plane/db/connect.ts";
import {
  endingGrants,
  forgetLowBalance,
  movedBalances,
  nextWindow,
  noteTold,
  saveWatch,
} from "#control-plane/db/credit-notices.ts";
import { appendEvent } from "#control-plane/db/events.ts";
import { assertLeader } from "#control-plane/db/leader.ts";
import { inTransaction } from "#control-plane/db/transaction.ts";
import type { AccountId } from "#protocol/id.ts";
import { creditsText } from "#protocol/unit.ts";
import { secondsOf } from "./admin-answer.ts";

/** No transaction lives longer: a statement ends after 5 s, an idle one after 1.5 s. */
const OVERLAP_MS = 15_000;
/** After an outage the journal is caught up with in such steps. */
const WINDOW_MS_MAX = 60_000;
/** Notices of one transaction: it holds as many event counters. */
const BATCH_MAX = 32;

interface Notice {
  readonly account: AccountId;
  readonly tell: (tx: Transaction) => Promise<void>;
}

export async function tellCredits(sql: Sql, epoch: number): Promise<void> {
  for (let behind = true; behind;) behind = await tellOfNextWindow(sql, epoch);
}

/** True if the journal goes on beyond what was looked at. */
async function tellOfNextWindow(sql: Sql, epoch: number): Promise<boolean> {
  const span = { overlapMs: OVERLAP_MS, stepMs: WINDOW_MS_MAX };
  const window = await nextWindow(sql, span);
  const [balances, grants] = await Promise.all([
    movedBalances(sql, window),
    endingGrants(sql, window, EXPIRING_LEAD_MS),
  ]);
  const notices = [...balances.flatMap(balanceNotice), ...grants.map(expiryNotice)];
  // Counters in ascending account order, so that two writers of events never wait for each other in a ring.
  notices.sort((a, b) => (a.account < b.account ? -1 : 1));
  for (let at = 0; at < notices.length; at += BATCH_MAX) {
    await inTransaction(sql, async (tx) => {
      await assertLeader(tx, epoch);
      for (const { tell } of notices.slice(at, at + BATCH_MAX)) await tell(tx);
    });
  }
  await inTransaction(sql, async (tx) => {
    await assertLeader(tx, epoch);
    await saveWatch(tx, epoch, window.to);
  });
  return window.to.getTime() - window.from.getTime() >= OVERLAP_MS + WINDOW_MS_MAX;
}

function balanceNotice(move: Awaited<ReturnType<typeof movedBalances>>[number]): Notice[] {
  const { account, available } = move;
  const due = lowBalanceNotice(move);
  if (due === null) return [];
  if (due === "forget") return [{ account, tell: (tx) => forgetLowBalance(tx, account) }];
  const data = { available: creditsText(available), threshold: creditsText(LOW_BALANCE) };
  return [
    {
      account,
      async tell(tx) {
        if (await noteTold(tx, account, "low_balance"))
          await appendEvent(tx, { account, type: "credits.low_balance", data });
      },
    },
  ];
}

function expiryNotice(grant: Awaited<ReturnType<typeof endingGrants>>[number]): Notice {
  const { account, id } = grant;
  const data = { grant_id: id, amount: creditsText(grant.available), expires_at: secondsOf(grant.expiresAt) };
  return {
    account,
    async tell(tx) {
      if (await noteTold(tx, account, { grant: id }))
        await appendEvent(tx, { account, type: "credits.grant_expiring", data });
    },
  };
}
