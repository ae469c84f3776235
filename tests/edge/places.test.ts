import { expect, test } from "vitest";
import { Places } from "#edge/core/places.ts";
import { AccountId } from "#protocol/id.ts";

const [ANN, BEN] = ["a", "b"].map((letter) => AccountId.parse(`acct_${letter.repeat(16)}`)) as [AccountId, AccountId];
const ROOM = { max: 60, calm: 10, crowdedMax: 12 };

/** As many as find room at that moment; they stay. */
function enterAll(places: Places, account: AccountId, count: number, nowMs: number, idle = 0): number {
  let entered = 0;
  for (let call = 0; call < count; call++) {
    if (!places.hasRoom(account, idle, nowMs)) continue;
    places.enter(account, nowMs);
    entered++;
  }
  return entered;
}

test("a burst is let in whole, and no account takes all the places", () => {
  const places = new Places(ROOM);
  expect(enterAll(places, ANN, 100, 0)).toBe(50);
  expect(enterAll(places, BEN, 100, 0)).toBe(10);
});

test("where many have been under way for a second without a break, few more are let in, and no account takes all of those", () => {
  const places = new Places(ROOM);
  enterAll(places, ANN, 11, 0);
  expect(places.hasRoom(BEN, 0, 999)).toBe(true);
  expect([places.hasRoom(ANN, 0, 1_000), places.hasRoom(BEN, 0, 1_000)]).toEqual([false, true]);
  places.enter(BEN, 1_000);
  expect(places.hasRoom(BEN, 0, 1_000)).toBe(false);
  // Who is in stays in, and what follows from it goes on.
  places.enter(ANN, 1_000);
  places.leave(ANN);
});

test("once it was calm for a moment a burst is let in whole again", () => {
  const places = new Places(ROOM);
  enterAll(places, ANN, 30, 0);
  expect(places.hasRoom(BEN, 0, 2_000)).toBe(false);
  for (let call = 0; call < 20; call++) places.leave(ANN);
  expect(enterAll(places, BEN, 100, 2_000)).toBe(50);
});

test("those who only wait for the control plane to come back take no place", () => {
  const places = new Places(ROOM);
  enterAll(places, ANN, 50, 0);
  expect(places.hasRoom(BEN, 45, 5_000)).toBe(true);
  expect(enterAll(places, BEN, 60, 5_000, 45)).toBe(50);
});
