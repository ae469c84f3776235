/** `npm run attack:parsers -- --cases 100000 --seed 1`: every parser's law over so many generated inputs (dear ones get a part of them). */
import { parseArgs } from "node:util";
import * as fc from "fast-check";
import { PARSER_LAWS } from "#tests/security/attack/parsers.ts";

const { values } = parseArgs({
  options: { cases: { type: "string", default: "100000" }, seed: { type: "string", default: "1" } },
});
const [cases, seed] = [Number(values.cases), Number(values.seed)];

let total = 0;
for (const { name, cost, law } of PARSER_LAWS) {
  const numRuns = Math.ceil(cases / cost);
  const startedMs = performance.now();
  const seen = await fc.check(law, { seed, numRuns });
  total += seen.numRuns;
  console.log(
    `${seen.failed ? "FAILED" : "held  "} ${name}: ${seen.numRuns} cases in ${((performance.now() - startedMs) / 1_000).toFixed(1)} s`,
  );
  if (seen.failed) {
    console.log(fc.defaultReportMessage(seen));
    process.exitCode = 1;
  }
}
console.log(`${total} cases of seed ${seed}`);
