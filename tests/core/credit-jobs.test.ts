/** Holds and running jobs in the credit calculator: what expires under them, who pays, when the account runs dry. */
import { describe, expect, test } from "vitest";
import { GpuCreditCalculator } from "#control-plane/core/credit-calculator.ts";
import type { ChosenPolicy } from "#tests/support/credit-history.ts";

const ACCEPTED = { accepted: true };
const REFUSED = { accepted: false };

/** One grant of 10 that ends at 50, all of it held for `job` at 10. */
function expiringHold(policy: ChosenPolicy = {}): GpuCreditCalculator {
  const credits = new GpuCreditCalculator(policy);
  credits.grant({ id: "a", amount: 10n, at: 0, expiresAt: 50 });
  credits.hold({ job: "job", at: 10, amount: 10n });
  return credits;
}

describe("a hold", () => {
  test("is taken only if the account can pay it in full", () => {
    const credits = new GpuCreditCalculator({ overdraw: "debt" });
    credits.grant({ id: "a", amount: 10n, at: 0, expiresAt: null });
    expect(credits.hold({ job: "large", at: 5, amount: 11n })).toEqual(REFUSED);
    expect(credits.hold({ job: "right", at: 5, amount: 10n })).toEqual(ACCEPTED);
    expect(credits.hold({ job: "third", at: 5, amount: 1n })).toEqual(REFUSED);
    expect(credits.balance(5)).toBe(0n);
  });

  test("keeps its credits when their grant expires, and may still capture them", () => {
    const credits = expiringHold();
    expect(credits.balance(60)).toBe(0n);
    expect(credits.capture({ job: "job", at: 60, amount: 10n })).toEqual(ACCEPTED);
    expect(credits.statement(60).grants).toMatchObject([{ consumed: 10n, expired: 0n, held: 0n }]);
  });

  test("that is released after the expiry gives nothing back", () => {
    const credits = expiringHold();
    credits.capture({ job: "job", at: 60, amount: 4n });
    credits.release({ job: "job", at: 60 });
    expect(credits.balance(60)).toBe(0n);
    expect(credits.statement(60)).toEqual({
      grants: [{ id: "a", amount: 10n, available: 0n, held: 0n, consumed: 4n, expired: 6n, voided: 0n }],
      holds: [],
      debt: 0n,
    });
  });

  test("that is released before the expiry gives back what still expires in time", () => {
    const credits = expiringHold();
    credits.release({ job: "job", at: 49 });
    expect(credits.balance(49)).toBe(10n);
    expect(credits.balance(50)).toBe(0n);
  });

  test("that the platform broke after the expiry is made good, for three days unless said otherwise", () => {
    for (const [seconds, policy] of [
      [100, { makeGoodSeconds: 100 }],
      [3 * 86_400, {}],
    ] as const) {
      const credits = expiringHold(policy);
      credits.release({ job: "job", at: 60, fault: "platform" });
      expect([60, 59 + seconds, 60 + seconds].map((at) => credits.balance(at))).toEqual([10n, 10n, 0n]);
      expect(credits.statement(60).grants).toMatchObject([
        { id: "a", expired: 10n },
        { id: "make_good:job", amount: 10n, available: 10n },
      ]);
    }
  });

  test("that the platform broke before the expiry is only released: nothing was lost", () => {
    const credits = expiringHold();
    credits.release({ job: "job", at: 40, fault: "platform" });
    expect([credits.balance(40), credits.balance(50)]).toEqual([10n, 0n]);
  });

  test("pins in burn order and captures in the same order", () => {
    const credits = new GpuCreditCalculator();
    credits.grant({ id: "paid", amount: 5n, at: 0, expiresAt: 100 });
    credits.grant({ id: "gift", amount: 5n, at: 0, expiresAt: 100, category: "promotional" });
    credits.grant({ id: "first", amount: 2n, at: 0, expiresAt: null, priority: 0 });
    credits.grant({ id: "soon", amount: 2n, at: 0, expiresAt: 90 });
    credits.hold({ job: "job", at: 1, amount: 10n });
    const held = () => credits.statement(1).grants.map(({ id, held }) => [id, held]);
    expect(held()).toEqual([
      ["first", 2n],
      ["soon", 2n],
      ["gift", 5n],
      ["paid", 1n],
    ]);
    credits.capture({ job: "job", at: 1, amount: 5n });
    expect(held()).toEqual([
      ["first", 0n],
      ["soon", 0n],
      ["gift", 4n],
      ["paid", 1n],
    ]);
  });

  test("released under a debt repays it first", () => {
    const credits = new GpuCreditCalculator({ overdraw: "debt" });
    credits.grant({ id: "a", amount: 10n, at: 0, expiresAt: null });
    credits.hold({ job: "job", at: 1, amount: 8n });
    credits.use({ at: 2, amount: 7n });
    expect([credits.balance(2), credits.statement(2).debt]).toEqual([null, 5n]);
    credits.release({ job: "job", at: 3 });
    expect(credits.balance(3)).toBe(3n);
  });

  test("outlives the voiding of its grant; what it releases is voided, even if we broke it", () => {
    const credits = expiringHold();
    credits.grant({ id: "b", amount: 5n, at: 0, expiresAt: 50 });
    expect(credits.voidGrant({ grant: "a", at: 20 })).toEqual(ACCEPTED);
    expect(credits.voidGrant({ grant: "b", at: 20 })).toEqual(ACCEPTED);
    expect(credits.balance(20)).toBe(0n);
    credits.capture({ job: "job", at: 30, amount: 4n });
    credits.release({ job: "job", at: 30, fault: "platform" });
    expect(credits.balance(30)).toBe(0n);
    expect(credits.statement(30).grants).toMatchObject([
      { id: "a", consumed: 4n, voided: 6n, expired: 0n },
      { id: "b", voided: 5n },
    ]);
    expect(() => credits.voidGrant({ grant: "a", at: 40 })).toThrow(RangeError);
    expect(() => credits.voidGrant({ grant: "gone", at: 40 })).toThrow(RangeError);
  });
});

describe("a call that arrives late", () => {
  function promised(): GpuCreditCalculator {
    const credits = new GpuCreditCalculator({ overdraw: "clamp" });
    credits.grant({ id: "a", amount: 10n, at: 0, expiresAt: null });
    credits.hold({ job: "job", at: 50, amount: 8n });
    return credits;
  }

  test("is refused if it would uncover an accepted hold, and leaves no trace", () => {
    const credits = promised();
    expect(credits.use({ at: 20, amount: 3n })).toEqual(REFUSED);
    expect(credits.hold({ job: "other", at: 20, amount: 3n })).toEqual(REFUSED);
    expect(credits.startJob({ job: "other", at: 47, ratePerSecond: 1n })).toEqual(REFUSED);
    expect(credits.voidGrant({ grant: "a", at: 20 })).toEqual(REFUSED);
    expect([credits.balance(20), credits.balance(50)]).toEqual([10n, 2n]);
    expect(credits.hold({ job: "other", at: 50, amount: 2n })).toEqual(ACCEPTED);
  });

  test("counts if everything accepted stays covered", () => {
    const credits = promised();
    expect(credits.use({ at: 20, amount: 2n })).toEqual(ACCEPTED);
    expect([credits.balance(20), credits.balance(50)]).toEqual([8n, 0n]);
  });

  test("cannot undo an accepted use where uses are rejected", () => {
    const credits = new GpuCreditCalculator();
    credits.grant({ id: "a", amount: 10n, at: 0, expiresAt: null });
    expect(credits.use({ at: 50, amount: 8n })).toEqual(ACCEPTED);
    expect(credits.use({ at: 20, amount: 3n })).toEqual(REFUSED);
    expect(credits.use({ at: 20, amount: 2n })).toEqual(ACCEPTED);
  });

  test("is refused even if it is a grant, when it moves the burn order so that a hold loses", () => {
    const credits = new GpuCreditCalculator();
    credits.grant({ id: "long", amount: 10n, at: 0, expiresAt: 100, priority: 1 });
    credits.grant({ id: "short", amount: 10n, at: 0, expiresAt: 20, priority: 2 });
    credits.hold({ job: "one", at: 1, amount: 10n });
    credits.hold({ job: "two", at: 2, amount: 10n });
    credits.release({ job: "one", at: 15 });
    credits.capture({ job: "two", at: 16, amount: 10n });
    expect(credits.hold({ job: "three", at: 50, amount: 10n })).toEqual(ACCEPTED);
    // It would have been held first and lost; `two` would then have taken `long`, and `short` ended at 20.
    expect(credits.grant({ id: "late", amount: 10n, at: 0, expiresAt: 12, priority: 0 })).toEqual(REFUSED);
    expect(credits.grant({ id: "late", amount: 10n, at: 0, expiresAt: 12, priority: 3 })).toEqual(ACCEPTED);
  });

  test.each([
    ["capture", (credits: GpuCreditCalculator) => credits.capture({ job: "job", at: 9, amount: 1n })],
    ["release", (credits: GpuCreditCalculator) => credits.release({ job: "job", at: 9 })],
    ["startJob", (credits: GpuCreditCalculator) => credits.startJob({ job: "job", at: 9, ratePerSecond: 1n })],
    ["stopJob", (credits: GpuCreditCalculator) => credits.stopJob({ job: "running", at: 9 })],
  ] as const)("and is earlier than its job's last call throws: %s", (_, call) => {
    const credits = expiringHold();
    credits.startJob({ job: "running", at: 10, ratePerSecond: 1n });
    const before = credits.statement(20);
    expect(() => call(credits)).toThrow(RangeError);
    expect(credits.statement(20)).toEqual(before);
  });
});

describe("a job's calls", () => {
  test("make no sense twice, without a beginning, or beyond the hold", () => {
    const credits = expiringHold();
    expect(() => credits.hold({ job: "job", at: 20, amount: 1n })).toThrow(RangeError);
    expect(() => credits.capture({ job: "unknown", at: 20, amount: 1n })).toThrow(RangeError);
    expect(() => credits.capture({ job: "job", at: 20, amount: 11n })).toThrow(RangeError);
    expect(() => credits.stopJob({ job: "job", at: 20 })).toThrow(RangeError);
    credits.capture({ job: "job", at: 20, amount: 3n });
    expect(() => credits.capture({ job: "job", at: 20, amount: 8n })).toThrow(RangeError);
    credits.release({ job: "job", at: 20 });
    expect(() => credits.release({ job: "job", at: 20 })).toThrow(RangeError);
    expect(() => credits.hold({ job: "job", at: 20, amount: 1n })).toThrow(RangeError);
    credits.startJob({ job: "job", at: 20, ratePerSecond: 1n });
    expect(() => credits.startJob({ job: "job", at: 21, ratePerSecond: 1n })).toThrow(RangeError);
  });

  test("a refused hold may be asked for again", () => {
    const credits = new GpuCreditCalculator();
    expect(credits.hold({ job: "job", at: 5, amount: 5n })).toEqual(REFUSED);
    expect(() => credits.capture({ job: "job", at: 6, amount: 5n })).toThrow(RangeError);
    credits.grant({ id: "a", amount: 5n, at: 6, expiresAt: null });
    expect(credits.hold({ job: "job", at: 6, amount: 5n })).toEqual(ACCEPTED);
  });
});

describe("a running job", () => {
  test("burns its rate every second from its start until before its stop", () => {
    const credits = new GpuCreditCalculator();
    credits.grant({ id: "a", amount: 100n, at: 0, expiresAt: null });
    credits.startJob({ job: "job", at: 10, ratePerSecond: 5n });
    expect([9, 10, 11, 20].map((at) => credits.balance(at))).toEqual([100n, 100n, 95n, 50n]);
    credits.stopJob({ job: "job", at: 12 });
    expect([12, 20].map((at) => credits.balance(at))).toEqual([90n, 90n]);
    credits.startJob({ job: "job", at: 30, ratePerSecond: 1n });
    expect(credits.balance(40)).toBe(80n);
  });

  test("never burns what is held", () => {
    const credits = new GpuCreditCalculator({ overdraw: "clamp" });
    credits.grant({ id: "a", amount: 10n, at: 0, expiresAt: null });
    credits.hold({ job: "job", at: 0, amount: 6n });
    credits.startJob({ job: "job", at: 0, ratePerSecond: 1n });
    expect(credits.balance(100)).toBe(0n);
    expect(credits.capture({ job: "job", at: 100, amount: 6n })).toEqual(ACCEPTED);
  });

  test.each([
    ["reject", 1n],
    ["clamp", 0n],
    ["debt", null],
    ["poison", null],
  ] as const)("that runs dry in the middle of a second under %s leaves %s", (overdraw, left) => {
    const credits = new GpuCreditCalculator({ overdraw });
    credits.grant({ id: "a", amount: 10n, at: 0, expiresAt: null });
    credits.startJob({ job: "job", at: 0, ratePerSecond: 3n });
    expect([credits.balance(3), credits.balance(4), credits.exhaustedAt(0)]).toEqual([1n, left, 3]);
  });

  test("is paid whole or not at all where uses are rejected, in order of start", () => {
    const credits = new GpuCreditCalculator();
    credits.grant({ id: "a", amount: 25n, at: 0, expiresAt: null });
    credits.startJob({ job: "large", at: 0, ratePerSecond: 10n });
    credits.startJob({ job: "small", at: 0, ratePerSecond: 2n });
    // 12, 12, then one credit that pays nobody.
    expect([1, 2, 3, 9].map((at) => credits.balance(at))).toEqual([13n, 1n, 1n, 1n]);
    credits.grant({ id: "b", amount: 8n, at: 10, expiresAt: null });
    // Nine credits do not pay the large job: the small one burns them.
    expect([10, 11, 14, 20].map((at) => credits.balance(at))).toEqual([9n, 7n, 1n, 1n]);
  });

  test("runs dry when its credits expire, and what is recorded for later is foreseen", () => {
    const credits = new GpuCreditCalculator();
    credits.grant({ id: "a", amount: 1_000n, at: 0, expiresAt: 60 });
    expect(credits.exhaustedAt(0)).toBeNull();
    credits.startJob({ job: "job", at: 10, ratePerSecond: 2n });
    expect([0, 10, 59, 60, 75].map((from) => credits.exhaustedAt(from))).toEqual([60, 60, 60, 60, 75]);
    credits.grant({ id: "b", amount: 20n, at: 55, expiresAt: null });
    expect(credits.exhaustedAt(0)).toBe(70);
    credits.stopJob({ job: "job", at: 70 });
    expect(credits.exhaustedAt(0)).toBeNull();
  });

  test("a forecast over a century of seconds takes no century", () => {
    const credits = new GpuCreditCalculator();
    credits.grant({ id: "a", amount: 10n ** 12n, at: 1_800_000_000, expiresAt: null });
    credits.startJob({ job: "job", at: 1_800_000_000, ratePerSecond: 300n });
    expect(credits.exhaustedAt(1_800_000_000)).toBe(1_800_000_000 + 3_333_333_333);
    expect(credits.balance(1_800_000_000 + 3_333_333_333)).toBe(100n);
  });
});
