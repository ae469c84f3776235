import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Explanation } from "#control-plane/core/job-view.ts";
import { EdgeSender } from "#control-plane/loop/edge-sender.ts";
import { cancelVideo, deleteVideo } from "#control-plane/usecase/change-video.ts";
import { endSubscription, setSubscription, subscriptions } from "#control-plane/usecase/live-session.ts";
import { readSnapshot } from "#control-plane/usecase/read-snapshot.ts";
import type { Push } from "#protocol/edge-call.ts";
import type { AccountId, VideoId } from "#protocol/id.ts";
import { QUIET } from "#tests/support/quiet-host.ts";
import { Studio } from "#tests/support/studio.ts";

let studio: Studio;
beforeEach(async () => {
  studio = await Studio.open();
});
afterEach(() => studio.close());

const rich = () => studio.account("pro", { amount: "100000" });

describe("a snapshot", () => {
  test("shows an account's unfinished videos, oldest first, and how far its log reaches", async () => {
    const account = await rich();
    const [first, second, over, gone] = [
      await studio.submitted(account),
      await studio.submitted(account),
      await studio.submitted(account),
      await studio.submitted(account),
    ];
    await studio.submitted(await rich());
    await cancelVideo(studio.sql, account, over.id);
    await deleteVideo(studio.sql, account, gone.id);
    const { last, videos, hasMore } = await readSnapshot(studio.sql, account, null);
    expect(videos.map(({ id }) => id)).toEqual([first.id, second.id]);
    expect([last, hasMore]).toEqual([(await studio.eventTypes(account)).length, false]);
  });

  test("of certain videos shows those that are the account's, finished ones too, and no one else's", async () => {
    const [account, stranger] = [await rich(), await rich()];
    const [mine, over] = [await studio.submitted(account), await studio.submitted(account)];
    const theirs = await studio.submitted(stranger);
    await cancelVideo(studio.sql, account, over.id);
    const { videos } = await readSnapshot(studio.sql, account, [theirs.id, over.id, mine.id]);
    expect(videos.map(({ id, state }) => [id, state])).toEqual([
      [mine.id, "queued"],
      [over.id, "cancelled"],
    ]);
    expect((await readSnapshot(studio.sql, account, [])).videos).toEqual([]);
  });

  test("shows the first hundred, and says that there are more", async () => {
    const account = await rich();
    const jobs = [];
    for (let n = 0; n < 101; n++) jobs.push(await studio.submitted(account));
    const { videos, hasMore } = await readSnapshot(studio.sql, account, null);
    expect(videos.map(({ id }) => id)).toEqual(jobs.slice(0, 100).map(({ id }) => id));
    expect(hasMore).toBe(true);
  });
});

test("a subscription that was renewed while the edge said that nobody listens stays", async () => {
  const account = await rich();
  await setSubscription(studio.sql, account, true);
  const [seen] = await subscriptions(studio.sql);
  if (seen === undefined) throw new Error("the account is subscribed");
  await studio.sql`select pg_sleep(0.002)`;
  await setSubscription(studio.sql, account, true);
  await endSubscription(studio.sql, seen);
  const [renewed] = await subscriptions(studio.sql);
  expect(renewed?.accountId).toBe(account);
  if (renewed !== undefined) await endSubscription(studio.sql, renewed);
  expect(await subscriptions(studio.sql)).toEqual([]);
});

/** A sender whose time and turns the test gives; turns do not touch the log, so each is over when it has pushed. */
class HandSender {
  readonly pushes: { readonly atMs: number; readonly items: Push["items"] }[] = [];
  waiting: readonly VideoId[] = [];
  nowMs = 1_000_000;
  readonly sender: EdgeSender;
  #turn: () => void = () => undefined;
  #scheduled: () => void = () => undefined;

  constructor() {
    const clock = {
      nowMs: () => this.nowMs,
      monotonicMs: () => this.nowMs,
      after: (_delayMs: number, act: () => void) => {
        this.#turn = act;
        this.#scheduled();
        return () => undefined;
      },
    };
    this.sender = new EdgeSender(studio.sql, {
      ...QUIET,
      clock,
      push: async (_account, { items }) => {
        this.pushes.push({ atMs: this.nowMs, items });
        return true;
      },
      waitingOf: () => this.waiting,
      explain: (): Explanation => ({ position: this.nowMs % 997, eta: null, blockedBy: null }),
    });
    this.sender.start();
  }

  async turn(passedMs: number): Promise<void> {
    this.nowMs += passedMs;
    const scheduled = new Promise<void>((resolve) => (this.#scheduled = resolve));
    this.#turn();
    await scheduled;
    await new Promise(setImmediate);
  }

  items(kind: Push["items"][number]["kind"]) {
    return this.pushes.flatMap(({ atMs, items }) =>
      items.filter((item) => item.kind === kind).map((item) => ({ atMs, item })),
    );
  }
}

/** Subscribed with nothing in its log. */
async function watched(): Promise<AccountId> {
  const account = await studio.account("pro");
  await setSubscription(studio.sql, account, true);
  return account;
}

const videoId = (number: number) => `video_${String(number).padStart(32, "0")}` as VideoId;

test("a video's progress is told at most twice a second, and always the newest", async () => {
  const account = await watched();
  const hand = new HandSender();
  await hand.turn(0);
  for (let step = 1; step <= 100; step++) {
    for (const job of [videoId(1), videoId(2)]) {
      hand.sender.show([{ account, job, progress: Math.max(1, step - 1), stage: "denoise" }]);
      hand.sender.show([{ account, job, progress: step, stage: "denoise" }]);
    }
    await hand.turn(50);
  }
  const told = hand
    .items("progress")
    .flatMap(({ atMs, item }) => (item.kind === "progress" ? [{ atMs, ...item.frame.data }] : []));
  for (const id of [videoId(1), videoId(2)]) {
    const of = told.filter((frame) => frame.id === id);
    // 100 steps took 5 s: the first at once, then every half second, each with what was newest by then.
    expect(of.map(({ progress }) => progress)).toEqual([1, 11, 21, 31, 41, 51, 61, 71, 81, 91]);
    expect(of.every(({ atMs }, index) => index === 0 || atMs - (of[index - 1]?.atMs ?? 0) >= 500)).toBe(true);
  }
});

test("positions are told once a second in one push, of the first hundred videos that wait", async () => {
  await watched();
  const hand = new HandSender();
  hand.waiting = Array.from({ length: 150 }, (_, number) => videoId(number));
  for (let turn = 0; turn < 60; turn++) await hand.turn(50);
  const told = hand.items("position");
  const byTime = Map.groupBy(told, ({ atMs }) => atMs);
  expect([...byTime.values()].map((items) => items.length)).toEqual([100, 100, 100]);
  const times = [...byTime.keys()];
  expect(times.every((atMs, index) => index === 0 || atMs - (times[index - 1] ?? 0) === 1_000)).toBe(true);
  expect(new Set(told.map(({ item }) => (item.kind === "position" ? item.frame.data.id : ""))).size).toBe(100);
});
