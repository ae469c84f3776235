/** Plays one history to the calculator and to the naive account, and says where they first differ. */
import { GpuCreditCalculator } from "#control-plane/core/credit-calculator.ts";
import { GRANT_SECONDS_MAX, STEP_AT_MAX } from "./credit-history.ts";
import type { CreditHistory, CreditStep } from "./credit-history.ts";
import { NaiveCredits } from "./naive-credits.ts";
import type { Table } from "./naive-credits.ts";

type Outcome = "accepted" | "refused" | "impossible";

/** By then every grant that ends has ended. */
const LAST_AT = STEP_AT_MAX + GRANT_SECONDS_MAX + 1;

/** How often each kind of call was answered how: shows that a run tried everything. */
export type Seen = Map<string, number>;

export function compareCredits({ policy, steps }: CreditHistory, seen: Seen): void {
  const calculator = new GpuCreditCalculator(policy);
  const naive = new NaiveCredits({
    end: "exclusive",
    overdraw: "reject",
    empty: "zero",
    makeGoodSeconds: 72 * 3_600,
    ...policy,
  });
  /** A job may go on until it has burned all that never ends. */
  let creditsLeft = 0n;
  let isRunning = false;
  for (const [index, step] of steps.entries()) {
    if (step.do === "query") {
      agree(
        `balance(${step.at}) before step ${index}`,
        calculator.balance(step.at),
        naive.tables(step.at)[step.at]?.balance,
      );
      continue;
    }
    const found = outcomeOf(calculator, step);
    agree(`step ${index}, ${step.do}`, found, naive.play(step));
    seen.set(`${step.do} ${found}`, (seen.get(`${step.do} ${found}`) ?? 0) + 1);
    if (found === "accepted" && step.do === "startJob") isRunning = true;
    if (found === "accepted" && step.do === "grant" && step.expiresAt === null) creditsLeft += step.amount;
  }
  compareTables(calculator, naive.tables(isRunning ? LAST_AT + Number(creditsLeft) : LAST_AT));
}

function compareTables(calculator: GpuCreditCalculator, tables: readonly Table[]): void {
  for (let at = 0; at <= LAST_AT; at++) agree(`balance(${at})`, calculator.balance(at), tables[at]?.balance);
  for (const at of [5, 14, STEP_AT_MAX, LAST_AT]) {
    const table = tables[at];
    if (table === undefined) throw new Error("every second was played");
    const { grants, holds, debt } = calculator.statement(at);
    agree(`debt at ${at}`, debt, table.debt);
    agree(`grants at ${at}`, byId(grants.map(({ id, ...figures }) => [id, figures])), byId(table.grants));
    agree(`holds at ${at}`, byId(holds.map(({ job, amount }) => [job, amount])), byId(table.holds));
  }
  for (const from of [0, 8, 16, STEP_AT_MAX, LAST_AT]) {
    const dryAt = tables.findIndex((table, at) => at >= from && !table.isPaid);
    agree(`exhaustedAt(${from})`, calculator.exhaustedAt(from), dryAt === -1 ? null : dryAt);
  }
}

function outcomeOf(calculator: GpuCreditCalculator, step: Exclude<CreditStep, { do: "query" }>): Outcome {
  try {
    return answerOf(calculator, step).accepted ? "accepted" : "refused";
  } catch (error) {
    if (error instanceof RangeError) return "impossible";
    throw error;
  }
}

export function answerOf(calculator: GpuCreditCalculator, step: Exclude<CreditStep, { do: "query" }>) {
  switch (step.do) {
    case "grant":
      return calculator.grant(step);
    case "voidGrant":
      return calculator.voidGrant(step);
    case "use":
      return calculator.use(step);
    case "hold":
      return calculator.hold(step);
    case "capture":
      return calculator.capture(step);
    case "release":
      return calculator.release(step);
    case "startJob":
      return calculator.startJob(step);
    case "stopJob":
      return calculator.stopJob(step);
    default:
      return step satisfies never;
  }
}

function byId(entries: Iterable<readonly [string, unknown]>): string {
  return textOf([...entries].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function agree(what: string, found: unknown, naive: unknown): void {
  if (Object.is(found, naive)) return;
  throw new Error(`${what}: the calculator says ${textOf(found)}, the naive account ${textOf(naive)}`);
}

function textOf(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) => (typeof inner === "bigint" ? `${inner}n` : inner)) ?? "undefined";
}
