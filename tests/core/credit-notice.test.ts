import { expect, test } from "vitest";
import { LOW_BALANCE, LOW_BALANCE_OVER, lowBalanceNotice } from "#control-plane/core/credit-notice.ts";

test.each([
  ["a fall below the threshold is told", { available: LOW_BALANCE - 1n, spent: true, told: false }, "tell"],
  ["the threshold itself is enough", { available: LOW_BALANCE, spent: true, told: false }, null],
  ["a small first grant is no low balance", { available: 1n, spent: false, told: false }, null],
  ["what was told is not repeated", { available: 0n, spent: true, told: true }, null],
  [
    "just above the threshold nothing is forgotten",
    { available: LOW_BALANCE_OVER - 1n, spent: false, told: true },
    null,
  ],
  ["a recovered balance may be told again", { available: LOW_BALANCE_OVER, spent: false, told: true }, "forget"],
] as const)("%s", (_rule, move, due) => expect(lowBalanceNotice(move)).toBe(due));
