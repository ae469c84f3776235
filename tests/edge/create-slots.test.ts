/** The guard of creates without a key, as a table and against random networks: SDKs, losses, refusals and crashes. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import {
  type Decision,
  IN_FLIGHT_MS,
  KEYED,
  outcomeOf,
  retriesOf,
  settle,
  type Slot,
} from "#edge/core/create-slots.ts";
import { SLOT_MS, step } from "#edge/core/create-slots.ts";
import { CreateKey } from "#protocol/id.ts";

const NOW = 1_800_000_000_000;
const keyOf = (n: number) => CreateKey.parse(`ck_${String(n).padStart(20, "0")}`);
const [A, B, FRESH] = [keyOf(1), keyOf(2), keyOf(99)];

function pending(createKey: CreateKey, retries = 0, atMs = NOW): Slot {
  return { state: "pending", createKey, retries, atMs };
}
function rejected(createKey: CreateKey, retries = 0, atMs = NOW): Slot {
  return { state: "rejected", createKey, retries, atMs };
}
function created(createKey: CreateKey, handedOut = 0, retries = 0, atMs = NOW): Slot {
  return { state: "created", createKey, retries, atMs, handedOut };
}

function decide(slots: readonly Slot[], retries: number, inFlight: readonly CreateKey[] = []): string {
  const decision = step(slots, { retries, nowMs: NOW, freshKey: FRESH, inFlight: new Set(inFlight) });
  return decision.kind === "conflict" ? decision.kind : `${decision.kind} ${Number(decision.slot.createKey.slice(3))}`;
}

test.each<[string, readonly Slot[], number, readonly CreateKey[], string]>([
  ["a first try is meant, whatever there is", [rejected(A), created(B), pending(keyOf(3))], 0, [keyOf(3)], "open 99"],
  ["1. a retry goes on with a create that was refused", [created(A), rejected(B)], 1, [], "take 2"],
  ["1. of several refused ones, with the one refused last", [rejected(A, 0), rejected(B, 1)], 2, [], "take 2"],
  ["1. not with one whose own later try was refused", [rejected(A, 2), created(B)], 1, [], "replay 2"],
  ["1. a create left pending by a crash is sent again", [pending(A)], 1, [], "take 1"],
  ["1. one whose sender went silent, too", [pending(A, 0, NOW - IN_FLIGHT_MS)], 1, [A], "take 1"],
  ["2. while one is under way, a retry asks again", [created(A), pending(B)], 1, [B], "conflict"],
  ["2. but takes a refused one first", [rejected(A), pending(B)], 1, [B], "take 1"],
  ["3. a retry of a lost answer gets the video", [created(A)], 1, [], "replay 1"],
  ["3. the one that retries were given least", [created(A, 1), created(B, 0)], 2, [], "replay 2"],
  ["3. the newest of equals", [created(A, 0, 0, NOW - 500), created(B, 0, 0, NOW - 400)], 1, [], "replay 2"],
  ["3. not one answered just now", [created(A, 0, 0, NOW - 500), created(B, 0, 0, NOW - 100)], 1, [], "replay 1"],
  ["3. unless there is no other", [created(B)], 1, [], "replay 2"],
  ["4. a retry of a try that never arrived is the first", [], 2, [], "open 99"],
  [
    "4. what is too old is not looked at",
    [created(A, 0, 0, NOW - SLOT_MS), rejected(B, 0, NOW - SLOT_MS)],
    1,
    [],
    "open 99",
  ],
  ["a key needs no count to take what a crash left", [pending(A, KEYED)], KEYED, [], "take 1"],
  ["a key in flight is in flight", [pending(A, KEYED)], KEYED, [A], "conflict"],
])("%s", (_what, slots, retries, inFlight, decision) => {
  expect(decide(slots, retries, inFlight)).toBe(decision);
});

test("a late word of an old try does not undo what a newer one made", () => {
  expect(settle(created(A, 1), "again", NOW)).toEqual(created(A, 1));
  expect(settle(created(A, 1), "over", NOW)).toEqual(created(A, 1));
  expect(settle(pending(A, 1), "created", NOW)).toMatchObject({ handedOut: 1 });
  expect(settle(pending(A, 0), "created", NOW)).toMatchObject({ handedOut: 0 });
  expect(settle(pending(A, 0), "over", NOW)).toBeNull();
});

test("an answer is tried again when the SDKs would", () => {
  const statuses = [200, 400, 402, 408, 409, 422, 429, 500, 503];
  const by = (header: string | null) => statuses.filter((status) => outcomeOf(status, header) === "again");
  expect([by(null), by("true"), by("false")]).toEqual([[408, 409, 429, 500, 503], statuses.slice(1), []]);
  expect(["0", "12", "x", "-1", null].map(retriesOf)).toEqual([0, 12, null, null, null]);
});

/** What the network and the studio do with one try. */
type Fate =
  | "request lost"
  | "answered"
  | "answer lost"
  | "refused"
  | "broken off"
  | "made and broken off"
  | "edge crashed";
const ANY: readonly Fate[] = [
  "answered",
  "answer lost",
  "refused",
  "broken off",
  "made and broken off",
  "edge crashed",
  "request lost",
];
const TRIES_MAX = 3;

/** Identical creates of SDKs, their tries interleaved at random; every try may be under way while others come. */
class World {
  slots: Slot[] = [];
  readonly inFlight = new Set<CreateKey>();
  /** Create key → video, as PostgreSQL has it. */
  readonly videos = new Map<CreateKey, number>();
  readonly intents: { tries: number; got: number | null; isOver: boolean; underWay: (() => void) | null }[];
  #now = NOW;
  #fresh = 1_000;

  constructor(intents: number) {
    this.intents = Array.from({ length: intents }, () => ({ tries: 0, got: null, isOver: false, underWay: null }));
  }

  /** One intent goes on: its try arrives, or what came of it does. */
  next(which: number, fate: Fate): void {
    this.#now += 400;
    const open = this.intents.filter((intent) => !intent.isOver);
    const intent = open[which % Math.max(1, open.length)];
    if (intent === undefined) return;
    const { underWay } = intent;
    if (underWay !== null) {
      intent.underWay = null;
      underWay();
      return;
    }
    const retries = intent.tries++;
    const fail = () => void (intent.isOver ||= intent.tries >= TRIES_MAX);
    const succeed = (video: number | undefined) => {
      intent.got = video ?? -1;
      intent.isOver = true;
    };
    if (fate === "request lost") return fail();
    const decision = step(this.slots, {
      retries,
      nowMs: this.#now,
      freshKey: keyOf(this.#fresh++),
      inFlight: this.inFlight,
    });
    if (decision.kind === "conflict") return fail();
    this.#put(decision);
    const { createKey } = decision.slot;
    if (decision.kind === "replay") return fate === "answer lost" ? fail() : succeed(this.#make(createKey));
    this.inFlight.add(createKey);
    intent.underWay = () => {
      const isMade =
        fate === "answered" || fate === "answer lost" || fate === "made and broken off" || fate === "edge crashed";
      const video = isMade ? this.#make(createKey) : undefined;
      this.inFlight.delete(createKey);
      if (fate !== "edge crashed")
        this.#settle(createKey, fate === "answered" || fate === "answer lost" ? "created" : "again");
      return fate === "answered" ? succeed(video) : fail();
    };
  }

  #put({ slot }: Exclude<Decision, { kind: "conflict" }>): void {
    this.slots = [...this.slots.filter(({ createKey }) => createKey !== slot.createKey), slot];
  }

  #settle(createKey: CreateKey, outcome: "created" | "again"): void {
    this.slots = this.slots.flatMap((slot) => {
      const kept = slot.createKey === createKey ? settle(slot, outcome, this.#now) : slot;
      return kept === null ? [] : [kept];
    });
  }

  #make(createKey: CreateKey): number {
    return this.videos.getOrInsert(createKey, this.videos.size);
  }
}

function played(intents: number, moves: readonly (readonly [number, Fate])[]): World {
  const world = new World(intents);
  for (const [which, fate] of moves) world.next(which, fate);
  return world;
}

const moves = (fates: readonly Fate[]) =>
  fc.array(fc.tuple(fc.nat(5), fc.constantFrom(...fates)), { minLength: 30, maxLength: 60 });
const RUNS = { numRuns: 3_000 } as const;

test("one create makes at most one video, whatever is lost and whoever crashes", () => {
  fc.assert(
    fc.property(moves(ANY), (steps) => {
      expect(played(1, steps).videos.size).toBeLessThanOrEqual(1);
    }),
    RUNS,
  );
});

test("creates that are meant never make more videos than there are of them", () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 4 }), moves(ANY), (intents, steps) => {
      expect(played(intents, steps).videos.size).toBeLessThanOrEqual(intents);
    }),
    RUNS,
  );
});

test("as long as requests arrive, as many videos are made as creates succeed, at least", () => {
  const arriving = ANY.filter((fate) => fate !== "request lost");
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 4 }), moves(arriving), (intents, steps) => {
      const world = played(intents, steps);
      const succeeded = world.intents.filter(({ got }) => got !== null);
      expect(world.videos.size).toBeGreaterThanOrEqual(succeeded.length);
    }),
    RUNS,
  );
});

test("A's answer is lost and B is refused: whoever asks again first, there are two videos, one for each", () => {
  for (const order of [
    [0, 1],
    [1, 0],
  ] as const) {
    for (const first of [0, 1] as const) {
      const world = new World(2);
      const lostThenRefused = (which: number) => world.next(which, which === 0 ? "answer lost" : "refused");
      // Both first tries, in either order, then their answers, then the retries in either order.
      for (const which of [first, 1 - first]) lostThenRefused(which);
      for (const which of [0, 1]) world.next(which, "answered");
      for (const which of order) {
        world.next(which, "answered");
        if (world.intents[which]?.underWay !== null) world.next(which, "answered");
      }
      expect(world.videos.size).toBe(2);
      expect(new Set(world.intents.map(({ got }) => got))).toEqual(new Set([0, 1]));
    }
  }
});
