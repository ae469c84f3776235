/** What holds for the credit calculator in every history; a failure prints fast-check's seed and path. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { GpuCreditCalculator } from "#control-plane/core/credit-calculator.ts";
import { burnOrder } from "#control-plane/core/credit/grant.ts";
import { answerOf, compareCredits } from "#tests/support/credit-comparison.ts";
import { creditHistories, GRANT_SECONDS_MAX, STEP_AT_MAX } from "#tests/support/credit-history.ts";
import type { CreditHistory, CreditStep } from "#tests/support/credit-history.ts";

/** `npm run credits:check` does the same 10^6 times. */
const HISTORIES = 10_000;
/** Long enough for several marks. */
const LONG_STORIES = 160;
const LONG_HISTORIES = 12;

const SECONDS = Array.from({ length: STEP_AT_MAX + GRANT_SECONDS_MAX + 2 }, (_, second) => second);

test(`answers ${HISTORIES} random histories as the naive account does`, () => {
  const seen = new Map<string, number>();
  fc.assert(
    fc.property(creditHistories(), (history) => compareCredits(history, seen)),
    { numRuns: HISTORIES },
  );
  for (const kind of ["use", "hold", "startJob"]) {
    for (const answer of ["accepted", "refused"]) expect(seen.get(`${kind} ${answer}`)).toBeGreaterThan(0);
  }
  for (const kind of ["capture", "release", "stopJob", "voidGrant"]) {
    for (const answer of ["accepted", "impossible"]) expect(seen.get(`${kind} ${answer}`)).toBeGreaterThan(0);
  }
});

test("answers histories of hundreds of calls as the naive account does", () => {
  let longest = 0;
  fc.assert(
    fc.property(creditHistories(LONG_STORIES), (history) => {
      compareCredits(history, new Map());
      longest = Math.max(longest, history.steps.length);
    }),
    { numRuns: LONG_HISTORIES, endOnFailure: true },
  );
  expect(longest).toBeGreaterThan(150);
});

test("questions change nothing, however often and about whichever second they are asked", () => {
  fc.assert(
    fc.property(
      creditHistories(40),
      fc.array(fc.nat(STEP_AT_MAX + 5), { minLength: 1 }),
      ({ policy, steps }, asked) => {
        const [quiet, curious] = [new GpuCreditCalculator(policy), new GpuCreditCalculator(policy)];
        for (const [index, step] of steps.entries()) {
          const second = asked[index % asked.length] ?? 0;
          const told = [curious.balance(second), curious.exhaustedAt(second), curious.statement(second)];
          expect([curious.balance(second), curious.exhaustedAt(second), curious.statement(second)]).toEqual(told);
          expect(outcomeOf(curious, step)).toEqual(outcomeOf(quiet, step));
        }
        expect(curious.statement(STEP_AT_MAX)).toEqual(quiet.statement(STEP_AT_MAX));
      },
    ),
    { numRuns: 200 },
  );
});

test("every credit of every grant is somewhere, once, at every second (L1)", () => {
  fc.assert(
    fc.property(creditHistories(), (history) => {
      const credits = played(history);
      for (const second of SECONDS) {
        const { grants, holds, debt } = credits.statement(second);
        for (const { amount, available, held, consumed, expired, voided } of grants) {
          expect(available + held + consumed + expired + voided).toBe(amount);
          for (const part of [available, held, consumed, expired, voided]) expect(part >= 0n).toBe(true);
        }
        expect(sum(grants.map(({ held }) => held))).toBe(sum(holds.map(({ amount }) => amount)));
        const balance = credits.balance(second);
        if (balance !== null) expect(sum(grants.map(({ available }) => available))).toBe(balance);
        if (debt > 0n) expect(balance).toBeNull();
      }
    }),
    { numRuns: 200 },
  );
});

const plainSteps = fc.array(
  fc.oneof(
    fc.record({
      do: fc.constant("grant" as const),
      at: fc.nat(20),
      amount: fc.bigInt({ min: 1n, max: 12n }),
      lifeSeconds: fc.nat(12),
      priority: fc.nat(2),
    }),
    fc.record({ do: fc.constant("use" as const), at: fc.nat(20), amount: fc.bigInt({ min: 1n, max: 8n }) }),
  ),
  { maxLength: 12 },
);

function numbered(steps: readonly (typeof plainSteps extends fc.Arbitrary<(infer S)[]> ? S : never)[]): CreditStep[] {
  return steps.map((step, n) =>
    step.do === "use" ? step : { ...step, id: `g${n}`, expiresAt: step.at + step.lifeSeconds },
  );
}

/** The same calls in two orders of arrival. */
const twoOrders = plainSteps.chain((steps) => {
  const all = numbered(steps);
  return fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length }));
});

test.each(["clamp", "debt", "poison"] as const)(
  "under %s grants and uses may arrive in any order (L10)",
  (overdraw) => {
    fc.assert(
      fc.property(twoOrders, ([steps, shuffled]) => {
        const [one, other] = [
          played({ policy: { overdraw }, steps }),
          played({ policy: { overdraw }, steps: shuffled }),
        ];
        for (const second of SECONDS) expect(other.balance(second)).toBe(one.balance(second));
        // Which use of a second poisons the account is decided by arrival; that it is poisoned is not.
        if (overdraw !== "poison") expect(figures(other)).toEqual(figures(one));
      }),
      { numRuns: 1_000 },
    );
  },
);

test("under reject whatever is accepted in two orders of arrival gives the same balances (L10)", () => {
  let agreed = 0;
  fc.assert(
    fc.property(twoOrders, ([steps, shuffled]) => {
      const [one, other] = [new GpuCreditCalculator(), new GpuCreditCalculator()];
      if (steps.some((step) => outcomeOf(one, step) !== true)) return;
      if (shuffled.some((step) => outcomeOf(other, step) !== true)) return;
      agreed++;
      for (const second of SECONDS) expect(other.balance(second)).toBe(one.balance(second));
      expect(figures(other)).toEqual(figures(one));
    }),
    { numRuns: 2_000 },
  );
  expect(agreed).toBeGreaterThan(100);
});

test("an accepted hold is never uncovered, whatever arrives after it", () => {
  fc.assert(
    fc.property(creditHistories(30), ({ policy, steps }) => {
      const credits = new GpuCreditCalculator(policy);
      const open = new Map<string, bigint>();
      for (const step of steps) {
        if (outcomeOf(credits, step) !== true) continue;
        if (step.do === "hold") open.set(step.job, step.amount);
        if (step.do === "capture") open.set(step.job, (open.get(step.job) ?? 0n) - step.amount);
        if (step.do === "release") open.delete(step.job);
        const holds = credits.statement(STEP_AT_MAX).holds.map(({ job, amount }) => [job, amount] as const);
        expect(new Map(holds)).toEqual(new Map([...open].filter(([, amount]) => amount > 0n)));
      }
    }),
    { numRuns: 500 },
  );
});

test("the burn order is total: any set of grants burns in one order only (L8)", () => {
  const grants = fc.uniqueArray(
    fc.record({
      id: fc.string({ minLength: 1, maxLength: 2 }),
      amount: fc.constant(1n),
      at: fc.nat(1),
      deadFrom: fc.constantFrom(1, 2, Infinity),
      priority: fc.nat(1),
      category: fc.constantFrom("promotional" as const, "plan" as const, "paid" as const),
    }),
    { selector: ({ id }) => id, minLength: 2 },
  );
  const orders = grants.chain((all) => fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length })));
  fc.assert(
    fc.property(orders, ([all, shuffled]) => {
      expect(all.toSorted(burnOrder)).toEqual(shuffled.toSorted(burnOrder));
      for (const a of all) for (const b of all) expect(Math.sign(burnOrder(a, b)) + Math.sign(burnOrder(b, a))).toBe(0);
      for (const a of all) expect(all.filter((b) => burnOrder(a, b) === 0)).toEqual([a]);
    }),
  );
});

function played({ policy, steps }: CreditHistory): GpuCreditCalculator {
  const credits = new GpuCreditCalculator(policy);
  for (const step of steps) outcomeOf(credits, step);
  return credits;
}

/** Accepted, refused, or null if it made no sense or was a question. */
function outcomeOf(credits: GpuCreditCalculator, step: CreditStep): boolean | null {
  if (step.do === "query") return null;
  try {
    return answerOf(credits, step).accepted;
  } catch (error) {
    expect(error).toBeInstanceOf(RangeError);
    return null;
  }
}

/** What became of each grant. */
function figures(credits: GpuCreditCalculator): unknown {
  return new Map(credits.statement(STEP_AT_MAX).grants.map(({ id, ...columns }) => [id, columns]));
}

function sum(amounts: readonly bigint[]): bigint {
  return amounts.reduce((total, amount) => total + amount, 0n);
}
