/**
 * How much this isolate has in hand: calls that ask an account's object or the control plane. Beyond a bound new ones are shed at
 * their first step, so that an edge with too little processor answers some in time instead of all too late.
 *
 * Creates have places of their own: they cost most, and a flood of them leaves reads alone. Bodies on their way, streams and live
 * sessions are not counted: slow clients cost nobody a place.
 */
import type { AccountId } from "#protocol/id.ts";
import { Places } from "./core/places.ts";

export type Kind = "create" | "other";

const places: Readonly<Record<Kind, Places>> = {
  /** One account's share is more than the burst of its tier: what is allowed is not shed for coming at once. */
  create: new Places({ max: 384, calm: 32, crowdedMax: 48 }),
  other: new Places({ max: 256, calm: 128, crowdedMax: 160 }),
};

/** Null, and nothing was begun: there is too much in hand. `idle`: how many of it only wait for the control plane to come back. */
export async function begin<Result>(
  kind: Kind,
  account: AccountId,
  idle: number,
  work: () => Promise<Result>,
): Promise<Result | null> {
  return places[kind].hasRoom(account, idle, Date.now()) ? goOn(kind, account, work) : null;
}

/** Work that follows from what was begun. */
export async function goOn<Result>(kind: Kind, account: AccountId, work: () => Promise<Result>): Promise<Result> {
  const own = places[kind];
  own.enter(account, Date.now());
  try {
    return await work();
  } finally {
    own.leave(account);
  }
}
