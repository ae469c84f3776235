/** The thirteen vectors in which public versions of this exercise differ, each under every policy it applies to. */
import { describe, expect, test } from "vitest";
import { GpuCreditCalculator } from "#control-plane/core/credit-calculator.ts";
import type { ChosenPolicy } from "#tests/support/credit-history.ts";

const OVERDRAWS = ["clamp", "reject", "debt", "poison"] as const;
const ENDS = ["exclusive", "inclusive"] as const;
const EMPTIES = ["null", "zero"] as const;
/** Every choice of policy, in words and as data. */
const POLICIES = OVERDRAWS.flatMap((overdraw) =>
  ENDS.flatMap((end) => EMPTIES.map((empty) => [`${overdraw}, ${end}, ${empty}`, { overdraw, end, empty }] as const)),
);

/** A calculator whose grants are written `id: [amount, at, expiresAt]`. */
function withGrants(policy: ChosenPolicy, grants: Readonly<Record<string, readonly [bigint, number, number]>>) {
  const credits = new GpuCreditCalculator(policy);
  for (const [id, [amount, at, expiresAt]] of Object.entries(grants)) credits.grant({ id, amount, at, expiresAt });
  return credits;
}

function balances(credits: GpuCreditCalculator, ...seconds: readonly number[]): readonly (bigint | null)[] {
  return seconds.map((second) => credits.balance(second));
}

describe.each(POLICIES)("under %s", (_, policy) => {
  const nothing = policy.empty === "null" ? null : 0n;
  const isInclusive = policy.end === "inclusive";

  test("vector 1: a grant counts from its first second to its end", () => {
    const credits = withGrants(policy, { a: [10n, 10, 40] });
    expect(balances(credits, 0, 10, 40, 41)).toEqual([nothing, 10n, isInclusive ? 10n : nothing, nothing]);
  });

  test("vector 2: what a use left over ends with its grant, and a later grant starts afresh", () => {
    const credits = withGrants(policy, { a: [40n, 10, isInclusive ? 60 : 61] });
    expect(credits.use({ at: 30, amount: 30n })).toEqual({ accepted: true });
    expect(credits.balance(40)).toBe(10n);
    credits.grant({ id: "b", amount: 20n, at: 60, expiresAt: isInclusive ? 70 : 71 });
    expect(balances(credits, 60, 61, 70, 71)).toEqual([30n, 20n, 20n, nothing]);
  });

  test("vector 4: two grants overlap, and what ends first is spent first", () => {
    const credits = withGrants(policy, { a: [3n, 10, 60], b: [2n, 20, 40] });
    credits.use({ at: 30, amount: 1n });
    credits.use({ at: 50, amount: 3n });
    expect(balances(credits, 10, 20, 30, 50)).toEqual([3n, 5n, 4n, nothing]);
    expect(balances(credits, 40, 41)).toEqual([isInclusive ? 4n : 3n, 3n]);
  });

  test("vector 7: a grant without a lifetime counts for exactly one second, or never", () => {
    const credits = withGrants(policy, { a: [7n, 10, 10] });
    expect(balances(credits, 9, 10, 11)).toEqual([nothing, isInclusive ? 7n : nothing, nothing]);
  });

  test("vector 8: amounts are exact beyond 2^32 and 2^53", () => {
    const five = Object.fromEntries(
      ["a", "b", "c", "d", "e"].map((id) => [id, [1_000_000_000n, 0, 100] as const] as const),
    );
    expect(withGrants(policy, five).balance(50)).toBe(5_000_000_000n);
    const large = withGrants(policy, { a: [2n ** 53n + 1n, 0, 100] });
    expect(large.use({ at: 1, amount: 1n })).toEqual({ accepted: true });
    expect(balances(large, 0, 1)).toEqual([2n ** 53n + 1n, 2n ** 53n]);
  });

  test("vector 9: a use touches no grant that has ended or not begun", () => {
    const overlapping = withGrants(policy, { a: [10n, 0, 5], b: [10n, 0, 100] });
    overlapping.use({ at: isInclusive ? 5 : 4, amount: 5n });
    expect(overlapping.balance(10)).toBe(10n);
    const late = withGrants(policy, { a: [10n, 0, 5], b: [10n, 0, 100] });
    late.use({ at: 10, amount: 5n });
    expect(late.balance(10)).toBe(5n);
    const early = withGrants(policy, { a: [10n, 0, 100], b: [10n, 20, 30] });
    early.use({ at: 10, amount: 5n });
    expect(balances(early, 10, 20, 40)).toEqual([5n, 15n, 5n]);
  });

  test("vector 10: a grant that arrives late pays the uses that it should have paid", () => {
    const credits = withGrants(policy, { a: [10n, 0, 100] });
    credits.use({ at: 20, amount: 5n });
    expect(credits.balance(60)).toBe(5n);
    credits.grant({ id: "b", amount: 10n, at: 10, expiresAt: 50 });
    expect(balances(credits, 20, 60)).toEqual([15n, 10n]);
  });

  test("vector 11: what can never be right is refused and changes nothing", () => {
    const credits = withGrants(policy, { a: [10n, 10, 40] });
    const before = credits.statement(20);
    const grant = { id: "b", amount: 5n, at: 10, expiresAt: 40 };
    for (const wrong of [
      { id: "a" },
      { id: "" },
      { id: "make_good:j" },
      { amount: 0n },
      { amount: -5n },
      { amount: Number.NaN as unknown as bigint },
      { amount: 5 as unknown as bigint },
      { expiresAt: 9 },
      { expiresAt: Number.NaN },
      { at: 10.5 },
      { at: Number.NaN },
      { at: Infinity },
      { priority: 0.5 },
    ]) {
      expect(() => credits.grant({ ...grant, ...wrong })).toThrow(RangeError);
    }
    expect(() => credits.use({ at: 20, amount: 0n })).toThrow(RangeError);
    expect(() => credits.use({ at: 20, amount: -1n })).toThrow(RangeError);
    expect(() => credits.hold({ job: "j", at: 20, amount: 0n })).toThrow(RangeError);
    expect(() => credits.startJob({ job: "j", at: 20, ratePerSecond: 0n })).toThrow(RangeError);
    expect(credits.statement(20)).toEqual(before);
    expect(credits.grant(grant)).toEqual({ accepted: true });
  });

  test("vector 12: in one second grants count before uses, whichever arrives first", () => {
    const credits = withGrants(policy, { a: [10n, 10, 100] });
    expect(credits.use({ at: 10, amount: 10n })).toEqual({ accepted: true });
    expect(credits.balance(10)).toBe(nothing);
    credits.grant({ id: "b", amount: 5n, at: 10, expiresAt: 20 });
    expect(balances(credits, 10, 30)).toEqual([5n, 5n]);
  });
});

describe.each(ENDS.map((end) => [end] as const))("an end that is %s", (end) => {
  test("vector 12: a use that arrives before the grant of its second is paid by it, unless it was refused", () => {
    for (const overdraw of OVERDRAWS) {
      const credits = new GpuCreditCalculator({ end, overdraw });
      expect(credits.use({ at: 10, amount: 4n })).toEqual({ accepted: overdraw !== "reject" });
      credits.grant({ id: "a", amount: 10n, at: 10, expiresAt: 20 });
      expect(credits.balance(10)).toBe(overdraw === "reject" ? 10n : 6n);
    }
  });

  test.each(["clamp", "debt", "poison"] as const)(
    "vector 3: under %s a late grant pays the use before it",
    (overdraw) => {
      const credits = new GpuCreditCalculator({ end, overdraw, empty: overdraw === "clamp" ? "null" : "zero" });
      credits.use({ at: 30, amount: 1n });
      expect(balances(credits, 30, 40)).toEqual([null, null]);
      credits.grant({ id: "a", amount: 1n, at: 10, expiresAt: 100 });
      expect(balances(credits, 10, 20, 30)).toEqual([1n, 1n, overdraw === "clamp" ? null : 0n]);
    },
  );

  test("vector 3: under reject the use was refused, and no late grant pays for it", () => {
    const credits = new GpuCreditCalculator({ end, overdraw: "reject" });
    expect(credits.use({ at: 30, amount: 1n })).toEqual({ accepted: false });
    credits.grant({ id: "a", amount: 1n, at: 10, expiresAt: 100 });
    expect(balances(credits, 10, 20, 30)).toEqual([1n, 1n, 1n]);
  });

  test.each([
    ["clamp", null, 10n],
    ["debt", null, null],
    ["poison", null, null],
    ["reject", 10n, 20n],
  ] as const)("vector 5: under %s a use far beyond the credits leaves %s, then %s", (overdraw, first, then) => {
    const credits = withGrants({ end, overdraw, empty: "null" }, { a: [10n, 10, 40] });
    credits.use({ at: 10, amount: 100_000_000n });
    expect(credits.balance(10)).toBe(first);
    credits.grant({ id: "b", amount: 10n, at: 20, expiresAt: 30 });
    expect(credits.balance(20)).toBe(then);
  });

  test("vector 6: under debt the next grant repays first, and ends as any other", () => {
    const credits = withGrants({ end, overdraw: "debt" }, { a: [10n, 10, 40] });
    credits.use({ at: 20, amount: 100n });
    credits.grant({ id: "b", amount: 200n, at: 50, expiresAt: end === "inclusive" ? 60 : 61 });
    expect(balances(credits, 20, 41, 49, 50, 60, 61)).toEqual([null, null, null, 110n, 110n, 0n]);
    const reversed = new GpuCreditCalculator({ end, overdraw: "debt" });
    reversed.use({ at: 15, amount: 4n });
    expect(reversed.balance(15)).toBeNull();
    reversed.grant({ id: "a", amount: 6n, at: 20, expiresAt: 25 });
    expect(balances(reversed, 15, 20, 26)).toEqual([null, 2n, 0n]);
  });

  test("vector 13: under reject a use that is not covered takes no part, and a later one passes", () => {
    const credits = withGrants({ end, overdraw: "reject" }, { a: [20n, 0, 100] });
    expect(credits.use({ at: 10, amount: 25n })).toEqual({ accepted: false });
    expect(credits.balance(10)).toBe(20n);
    expect(credits.use({ at: 20, amount: 20n })).toEqual({ accepted: true });
    expect(credits.balance(20)).toBe(0n);
  });
});

test("poison: a back-dated grant cures the account", () => {
  const credits = withGrants({ overdraw: "poison" }, { a: [5n, 10, 100] });
  credits.use({ at: 20, amount: 8n });
  credits.grant({ id: "b", amount: 50n, at: 30, expiresAt: 100 });
  expect(balances(credits, 19, 20, 30)).toEqual([5n, null, null]);
  credits.grant({ id: "c", amount: 3n, at: 15, expiresAt: 100 });
  expect(balances(credits, 19, 20, 30)).toEqual([8n, 0n, 50n]);
});

test("an account without choices rejects, excludes the end and says zero", () => {
  const credits = new GpuCreditCalculator();
  credits.grant({ id: "a", amount: 10n, at: 10, expiresAt: 40 });
  expect(credits.use({ at: 10, amount: 11n })).toEqual({ accepted: false });
  expect(balances(credits, 39, 40)).toEqual([10n, 0n]);
});
