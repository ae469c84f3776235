/**
 * How much this isolate has in hand: calls that ask an account's object or the control plane. Beyond a bound new ones are shed at
 * their first step, so that an edge with too little processor answers some in time instead of all too late.
 *
 * Bodies on their way, streams and live sessions are not counted: slow clients cost nobody a place. No account has all the places.
 */
import type { AccountId } from "#protocol/id.ts";

const IN_HAND_MAX = 256;
/** More than the burst of reads. */
const ACCOUNT_IN_HAND_MAX = 224;

const ofAccounts = new Map<AccountId, number>();
let all = 0;

/** Null, and nothing was begun: there is too much in hand. `idle`: how many of it only wait for the control plane to come back. */
export async function begin<Result>(
  account: AccountId,
  idle: number,
  work: () => Promise<Result>,
): Promise<Result | null> {
  const full = all - idle >= IN_HAND_MAX || (ofAccounts.get(account) ?? 0) >= ACCOUNT_IN_HAND_MAX;
  return full ? null : goOn(account, work);
}

/** Work that follows from what was begun. */
export async function goOn<Result>(account: AccountId, work: () => Promise<Result>): Promise<Result> {
  all++;
  ofAccounts.set(account, (ofAccounts.get(account) ?? 0) + 1);
  try {
    return await work();
  } finally {
    all--;
    const left = (ofAccounts.get(account) ?? 1) - 1;
    if (left === 0) ofAccounts.delete(account);
    else ofAccounts.set(account, left);
  }
}
