/**
 * Compares the credit calculator with the naive account over random histories, at night size.
 *
 * `npm run credits:check [-- --histories 1000000 --seed 1]`; a failure prints the command that repeats its shrunk history.
 */
import { parseArgs } from "node:util";
import fc from "fast-check";
import { compareCredits } from "#tests/support/credit-comparison.ts";
import type { Seen } from "#tests/support/credit-comparison.ts";
import { creditHistories } from "#tests/support/credit-history.ts";

const { values } = parseArgs({
  options: {
    histories: { type: "string", default: "1000000" },
    seed: { type: "string", default: String(Date.now() % 2 ** 31) },
    /** Where fast-check found and shrank a failure; comes from the command that a failure prints. */
    path: { type: "string" },
  },
});
const histories = Number(values.histories);
const seed = Number(values.seed);

const seen: Seen = new Map();
const startedMs = performance.now();
const details = fc.check(
  fc.property(creditHistories(), (history) => compareCredits(history, seen)),
  { numRuns: histories, seed, ...(values.path === undefined ? {} : { path: values.path }) },
);
const seconds = Math.round((performance.now() - startedMs) / 1_000);
if (details.failed) {
  console.log(fc.defaultReportMessage(details));
  console.log(details.errorInstance);
  console.log(`npm run credits:check -- --histories 1 --seed ${seed} --path ${details.counterexamplePath}`);
  process.exitCode = 1;
} else {
  const answers = Object.fromEntries([...seen].sort(([a], [b]) => (a < b ? -1 : 1)));
  console.log(JSON.stringify({ histories, seed, seconds, differences: 0, answers }));
}
