/** Posts the end of grants: what is free of them expires; what holds have pinned stays theirs. The leader runs it. */
import { end } from "#control-plane/core/ledger.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import { assertLeader } from "#control-plane/db/leader.ts";
import { accountsToExpire, grantsToExpire, lockLedger, post } from "#control-plane/db/ledger.ts";
import { inTransaction } from "#control-plane/db/transaction.ts";
import type { AccountId } from "#protocol/id.ts";
import type { MilliCredits } from "#protocol/unit.ts";

const ACCOUNTS_MAX = 100;
/** Of one account in one transaction; the next sweep takes the rest. */
const GRANTS_MAX = 50;

export interface ExpiredGrant {
  readonly account: AccountId;
  readonly grant: string;
  /** What was free and is gone; 0 if all was spent or held. */
  readonly amount: MilliCredits;
}

/** One transaction an account, so that none waits for another's. */
export async function expireGrants(sql: Sql, leaderEpoch: number): Promise<readonly ExpiredGrant[]> {
  const expired: ExpiredGrant[] = [];
  for (const account of await accountsToExpire(sql, ACCOUNTS_MAX)) {
    expired.push(...(await expireOf(sql, account, leaderEpoch)));
  }
  return expired;
}

function expireOf(sql: Sql, account: AccountId, leaderEpoch: number): Promise<readonly ExpiredGrant[]> {
  return inTransaction(sql, async (tx) => {
    await assertLeader(tx, leaderEpoch);
    const at = await lockLedger(tx, account);
    if (at === null) return [];
    const grants = await grantsToExpire(tx, account, at, GRANTS_MAX);
    await Promise.all(
      grants.map((grant) => {
        const ends = { grant: grant.id, how: "expired" } as const;
        return post(tx, { account, at, ends }, end("expired", grant));
      }),
    );
    return grants.map(({ id, available }) => ({ account, grant: id, amount: available }));
  });
}
