import { expect, test } from "vitest";
import { Leadership } from "#control-plane/loop/leadership.ts";
import type { Lead } from "#control-plane/usecase/lead.ts";
import { HandClock } from "#tests/support/hand-clock.ts";
import { QUIET } from "#tests/support/quiet-host.ts";

const LEASE_MS = 5_000;

/** The one lease row, as PostgreSQL would keep it. */
class LeaseRow {
  readonly #clock: HandClock;
  epoch = 0;
  holder = "";
  endsMs = 0;
  /** Set: no statement is ever answered. */
  mute = false;

  constructor(clock: HandClock) {
    this.#clock = clock;
  }

  get lead(): Lead {
    const free = () => this.endsMs <= this.#clock.nowMs();
    return {
      look: () => this.#answer(() => (free() ? { url: null, free: true } : { url: this.holder, free: false })),
      take: (_holder, url) =>
        this.#answer(() => {
          if (!free()) return null;
          this.holder = url;
          this.endsMs = this.#clock.nowMs() + LEASE_MS;
          return ++this.epoch;
        }),
      renew: (epoch) =>
        this.#answer(() => {
          if (epoch !== this.epoch || free()) return false;
          this.endsMs = this.#clock.nowMs() + LEASE_MS;
          return true;
        }),
      resign: (epoch) =>
        this.#answer(() => {
          if (epoch === this.epoch) this.endsMs = this.#clock.nowMs();
        }),
    };
  }

  async #answer<Value>(statement: () => Value): Promise<Value> {
    await Promise.resolve();
    return this.mute ? new Promise(() => undefined) : statement();
  }
}

interface Replica {
  readonly leadership: Leadership;
  /** What it did, with the time. */
  readonly acts: string[];
}

function replica(row: LeaseRow, clock: HandClock, name: string, begins: Promise<void> = Promise.resolve()): Replica {
  const acts: string[] = [];
  const note = (what: string) => acts.push(`${what}@${clock.nowMs()}`);
  const reign = {
    begin: async () => {
      await begins;
      note("begin");
    },
    end: async () => void note("end"),
  };
  const host = { clock, ...QUIET };
  const leadership = new Leadership(row.lead, { holder: name, url: name }, reign, host);
  leadership.start();
  return { leadership, acts };
}

test("a leader that dies is followed within its lease and a quarter of a second", async () => {
  const clock = new HandClock();
  const row = new LeaseRow(clock);
  row.epoch = 1;
  row.holder = "dead";
  row.endsMs = LEASE_MS;
  const b = replica(row, clock, "b");
  await clock.pass(LEASE_MS - 100);
  expect(b.leadership.leaderUrl).toBe("dead");
  await clock.pass(500);
  expect(b.acts).toEqual([expect.stringMatching(/^begin@5[012]\d\d$/)]);
  expect([row.epoch, b.leadership.leaderUrl]).toEqual([2, null]);
});

test("a leader that is told to stop is followed at the next look, not at the end of its lease", async () => {
  const clock = new HandClock();
  const row = new LeaseRow(clock);
  const a = replica(row, clock, "a");
  await clock.pass(1_000);
  const b = replica(row, clock, "b");
  await clock.pass(1_000);
  const stopped = a.leadership.stop();
  await clock.pass(300);
  await stopped;
  expect(a.acts).toEqual(["begin@0", "end@2000"]);
  expect(b.acts).toEqual([expect.stringMatching(/^begin@2[0-2]\d\d$/)]);
});

test("a leader whose renewal is never answered stops before its lease ends", async () => {
  const clock = new HandClock();
  const row = new LeaseRow(clock);
  const a = replica(row, clock, "a");
  await clock.pass(2_000);
  row.mute = true;
  await clock.pass(10_000);
  expect(a.acts).toHaveLength(2);
  const endedAtMs = Number(a.acts[1]?.split("@")[1]);
  expect(endedAtMs).toBeLessThan(row.endsMs);
});

test("a world that takes longer to load than the lease lasts is loaded under a renewed lease", async () => {
  const clock = new HandClock();
  const row = new LeaseRow(clock);
  const loaded = Promise.withResolvers<void>();
  const a = replica(row, clock, "a", loaded.promise);
  const b = replica(row, clock, "b");
  await clock.pass(4 * LEASE_MS);
  loaded.resolve();
  await clock.pass(1_000);
  expect([row.epoch, a.acts, b.acts]).toEqual([1, ["begin@20000"], []]);
});

test("a replica whose world cannot be loaded leaves the lease to the next one", async () => {
  const clock = new HandClock();
  const row = new LeaseRow(clock);
  const broken = Promise.reject(new Error("no memory"));
  broken.catch(() => undefined);
  const a = replica(row, clock, "a", broken);
  await clock.pass(0);
  const b = replica(row, clock, "b");
  await clock.pass(1_000);
  expect(a.acts).not.toContainEqual(expect.stringMatching(/^begin/));
  expect(b.acts).toEqual([expect.stringMatching(/^begin/)]);
});
