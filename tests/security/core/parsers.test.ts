import * as fc from "fast-check";
import { expect, test } from "vitest";
import { PARSER_LAWS } from "../attack/parsers.ts";

const CASES = 2_000;
const SEED = 20_261_129;

test.each(PARSER_LAWS)("the parser of a $name keeps its law over whatever it is given", async ({ cost, law }) => {
  const seen = await fc.check(law, { seed: SEED, numRuns: Math.ceil(CASES / cost) });
  expect(seen.failed, fc.defaultReportMessage(seen)).toBe(false);
});
