/** `npm run sim:faults -- [--seeds N] [--first S] [--steps N] [--once] [--mutant NAME]`: seeds in turn, each twice. */
import { parseArgs } from "node:util";
import { MUTANTS } from "./mutants.ts";
import { hookProduct } from "./system/hooks.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "20" },
    first: { type: "string", default: "1" },
    steps: { type: "string", default: "Infinity" },
    /** Each seed once: no comparison of two runs. */
    once: { type: "boolean", default: false },
    mutant: { type: "string" },
    trace: { type: "boolean", default: false },
  },
});
const mutant = values.mutant === undefined ? null : (MUTANTS.find(({ name }) => name === values.mutant) ?? null);
if (values.mutant !== undefined && mutant === null) throw new Error(`there is no mutant '${values.mutant}'`);
const planted = hookProduct(mutant);
// Everything of the product is loaded through the hook from here on.
const { runSeeds } = await import("./seeds.ts");
const found = await runSeeds({
  first: Number(values.first),
  seeds: Number(values.seeds),
  steps: Number(values.steps),
  once: values.once || mutant !== null,
  trace: values.trace,
  command: `npm run -s sim:faults --${mutant === null ? "" : ` --mutant ${mutant.name}`}`,
});
if (!planted()) throw new Error(`nothing loads ${mutant?.file ?? ""}: the mutant was not planted`);
process.exitCode = found ? 1 : 0;
