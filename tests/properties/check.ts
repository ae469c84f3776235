/**
 * Runs a property and, when it fails, prints its seed, the smallest history that breaks it, and the command that plays it
 * again. `FC_RUNS` multiplies how many histories are played.
 */
import fc from "fast-check";
import { relative } from "node:path";
import { expect } from "vitest";

export function check<T extends [unknown, ...unknown[]]>(runs: number, property: fc.IProperty<T>): void {
  const { FC_SEED: seed, FC_PATH: path, FC_RUNS: times = "1" } = process.env;
  fc.assert(property, {
    numRuns: runs * Number(times),
    ...(seed === undefined ? {} : { seed: Number(seed) }),
    ...(path === undefined ? {} : { path }),
    reporter: report,
  });
}

function report<T>(details: fc.RunDetails<T>): void {
  if (!details.failed) return;
  const { currentTestName = "", testPath = "" } = expect.getState();
  const seed = `FC_SEED=${details.seed} FC_PATH=${details.counterexamplePath ?? ""}`;
  const command = `${seed} npx vitest run --project node ${relative(process.cwd(), testPath)} -t "${currentTestName}"`;
  const law = details.errorInstance instanceof Error ? details.errorInstance.message : String(details.errorInstance);
  throw new Error(`${law}\n${fc.defaultReportMessage(details)}\n\nAgain: ${command}`, {
    cause: details.errorInstance,
  });
}
