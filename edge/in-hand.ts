/**
 * How much this isolate has in hand: calls that ask an account's object or the control plane. Beyond a bound new ones are shed at
 * their first step, so that an edge with too little processor answers some in time instead of all too late.
 *
 * Creates have places of their own: they cost most, and a flood of them leaves reads alone. Bodies on their way, streams and live
 * sessions are not counted: slow clients cost nobody a place. No account has all the places.
 */
import type { AccountId } from "#protocol/id.ts";

export type Kind = "create" | "other";

interface Places {
  readonly max: number;
  readonly accountMax: number;
  readonly ofAccounts: Map<AccountId, number>;
  all: number;
}

const places: Readonly<Record<Kind, Places>> = {
  /** One account's is more than the burst of its tier: what is allowed is not shed for coming at once. */
  create: { max: 384, accountMax: 320, ofAccounts: new Map(), all: 0 },
  other: { max: 256, accountMax: 224, ofAccounts: new Map(), all: 0 },
};

/** Null, and nothing was begun: there is too much in hand. `idle`: how many of it only wait for the control plane to come back. */
export async function begin<Result>(
  kind: Kind,
  account: AccountId,
  idle: number,
  work: () => Promise<Result>,
): Promise<Result | null> {
  const { max, accountMax, ofAccounts, all } = places[kind];
  const full = all - idle >= max || (ofAccounts.get(account) ?? 0) >= accountMax;
  return full ? null : goOn(kind, account, work);
}

/** Work that follows from what was begun. */
export async function goOn<Result>(kind: Kind, account: AccountId, work: () => Promise<Result>): Promise<Result> {
  const own = places[kind];
  own.all++;
  own.ofAccounts.set(account, (own.ofAccounts.get(account) ?? 0) + 1);
  try {
    return await work();
  } finally {
    own.all--;
    const left = (own.ofAccounts.get(account) ?? 1) - 1;
    if (left === 0) own.ofAccounts.delete(account);
    else own.ofAccounts.set(account, left);
  }
}
