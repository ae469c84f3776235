/** What the ledger decides to post, for any lots and grants. The order and the rules beside real holds: tests/db. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { deduct, end, refund, settle, spendableOf } from "#control-plane/core/ledger.ts";
import type { GrantRecord, Posting } from "#control-plane/core/ledger.ts";
import { milliCredits } from "#protocol/unit.ts";

const AT = new Date("2026-11-23T12:00:00.000Z");
const UNTIL = new Date("2026-11-26T12:00:00.000Z");
const DAY_MS = 86_400_000;

function days(count: number): Date {
  return new Date(AT.getTime() + count * DAY_MS);
}

const grants = fc.record({
  available: fc.bigInt({ min: 0n, max: 2n ** 60n }).map(milliCredits),
  category: fc.constantFrom("promotional" as const, "plan" as const, "paid" as const),
  priority: fc.nat(3),
  effectiveAt: fc.constantFrom(days(-2), days(-1), AT, days(1)),
  expiresAt: fc.constantFrom(null, days(-1), AT, days(2), days(3)),
  expiredAt: fc.constantFrom(null, null, null, days(-1)),
  voidedAt: fc.constantFrom(null, null, null, days(-1)),
});

function numbered<T>(items: fc.Arbitrary<readonly T[]>): fc.Arbitrary<readonly (T & { readonly id: string })[]> {
  return items.map((all) => all.map((item, n) => ({ ...item, id: `grant_${n}` })));
}

const LOTS = fc.array(fc.tuple(grants, fc.bigInt({ min: 1n, max: 2n ** 60n })), { minLength: 1, maxLength: 8 });

function sumOf(postings: readonly Posting[], passes: (posting: Posting) => boolean): bigint {
  return postings.filter(passes).reduce((sum, { amount }) => sum + amount, 0n);
}

test("a settled hold leaves nothing behind: first lots pay first, and what an ended grant forfeits is made good to the thousandth", () => {
  fc.assert(
    fc.property(LOTS, fc.nat(1_000), fc.constantFrom("user" as const, "platform" as const), (drawn, share, fault) => {
      const lots = drawn.map(([grant, amount], n) => ({
        grant: { ...grant, id: `grant_${n}` },
        amount: milliCredits(amount),
      }));
      const total = lots.reduce((sum, { amount }) => sum + amount, 0n);
      const charge = milliCredits((total * BigInt(share)) / 1_000n);
      const { postings, captured, makeGood } = settle("video", lots, charge, { at: AT, makeGoodUntil: UNTIL, fault });
      expect(sumOf(postings, ({ kind }) => kind === "captured")).toBe(charge);
      expect(sumOf(postings, ({ from }) => from === "held")).toBe(total);
      const partial = captured.findIndex((amount, n) => amount < (lots[n]?.amount ?? 0n));
      if (partial !== -1) expect(captured.slice(partial + 1).every((amount) => amount === 0n)).toBe(true);
      for (const { grantId, to } of postings.filter(({ kind }) => kind !== "captured")) {
        const grant = lots.find((lot) => lot.grant.id === grantId)?.grant;
        const isOver = grant?.expiredAt !== null || (grant.expiresAt !== null && grant.expiresAt <= AT);
        expect(to).toBe(grant?.voidedAt === null ? (isOver ? "expired" : "available") : "voided");
      }
      const forfeited = sumOf(postings, ({ kind }) => kind === "expired");
      expect(makeGood?.amount ?? 0n).toBe(fault === "platform" ? forfeited : 0n);
    }),
  );
});

test("a deduction takes exactly what was asked from what can be spent, or nothing at all", () => {
  fc.assert(
    fc.property(numbered(fc.array(grants, { maxLength: 8 })), fc.bigInt({ min: 1n, max: 2n ** 61n }), (all, amount) => {
      const postings = deduct(all, amount, AT);
      const spendable = spendableOf(all, AT);
      expect(postings === null).toBe(spendable < amount);
      if (postings === null) return;
      expect(sumOf(postings, () => true)).toBe(amount);
      for (const { grantId, amount: part } of postings) {
        const grant = all.find(({ id }) => id === grantId);
        expect(part <= (grant?.available ?? 0n)).toBe(true);
        expect(spendableOf(grant === undefined ? [] : [grant], AT)).toBe(grant?.available);
      }
    }),
  );
});

test("an end takes what is free, and a refund of an ended grant ends with it", () => {
  const grant: GrantRecord = {
    id: "grant_1",
    available: milliCredits(5n),
    category: "paid",
    priority: 50,
    effectiveAt: days(-2),
    expiresAt: AT,
    expiredAt: null,
    voidedAt: null,
  };
  expect(end("expired", grant)).toEqual([
    { kind: "expired", grantId: "grant_1", from: "available", to: "expired", amount: 5n },
  ]);
  expect(end("voided", { ...grant, available: milliCredits(0n) })).toEqual([]);
  expect(refund(grant, milliCredits(2n), AT)).toMatchObject({ from: "consumed", to: "expired" });
  expect(refund(grant, milliCredits(2n), days(-1))).toMatchObject({ from: "consumed", to: "available" });
});
