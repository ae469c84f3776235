/**
 * `npm run sim:cycles -- --seeds N --from S`: plays N histories and looks for a preemption cycle in each. Nightly with 10^5;
 * a slice of it is a test. A seed that breaks a law is printed with the command that plays it again.
 */
import { parseArgs } from "node:util";
import { z } from "zod";
import { preemptionsIn } from "./cycles.ts";

/** Broken seeds printed; a broken scheduler breaks most of them. */
const PRINTED_MAX = 10;

const { values } = parseArgs({
  options: { seeds: { type: "string", default: "1000" }, from: { type: "string", default: "1" } },
});
const Count = z.coerce.number().int().positive();
const [from, seeds] = [Count.parse(values.from), Count.parse(values.seeds)];
const begunMs = performance.now();
let preemptions = 0;
let histories = 0;
let broken = 0;
for (let seed = from; seed < from + seeds; seed++) {
  try {
    const found = preemptionsIn(seed);
    preemptions += found;
    if (found > 0) histories++;
  } catch (error) {
    broken++;
    if (broken > PRINTED_MAX) continue;
    process.stdout.write(`${String(error)}\n  again: npm run sim:cycles -- --seeds 1 --from ${seed}\n`);
  }
}
const wallS = ((performance.now() - begunMs) / 1_000).toFixed(1);
process.stdout.write(
  `${seeds} seeds from ${from}: ${broken} broken; ${preemptions} preemptions in ${histories} histories, ${wallS} s\n`,
);
if (broken > 0) process.exitCode = 1;
