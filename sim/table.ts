/**
 * `npm run sim:table -- [--trace FILE] [--seed N] [--json FILE] [--also POLICY]... [--caps tiers|none]`
 *
 * The scheduler against every baseline on the six synthetic workloads at load 0.85 and, if it is given, the trace; prints
 * each goal, what was reached, and what every policy did. `--also` adds policies to compare.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { z } from "zod";
import { seededCatalog } from "./catalog.ts";
import { readCluster } from "./cluster-file.ts";
import { goalRows } from "./goals.ts";
import type { WorkloadRuns } from "./goals.ts";
import { policyOf, POLICY_NAMES } from "./policies/registry.ts";
import { policyRows } from "./policy-rows.ts";
import type { SimOptions } from "./engine.ts";
import { DEFAULT_OPTIONS, runPolicy } from "./run.ts";
import { simulatedHour } from "./simulated-hour.ts";
import { TIERS, UNCAPPED_TIERS } from "./terms.ts";
import { markdown } from "./text-table.ts";
import { loadWorkload } from "./workload-source.ts";

const SYNTHETIC = ["steady", "diurnal", "viral-spike", "noisy-neighbour", "gang-heavy", "cold-models"] as const;
const CLUSTER = "8x8-h100";
/** Brings the trace to load 0.85 on 64 H100. */
const TRACE_TIME_SCALE = 6.1;

interface Source {
  readonly name: string;
  readonly path: string;
  readonly timeScale: number;
}

function main(args: readonly string[]): void {
  const { values } = parseArgs({
    args: [...args],
    options: {
      trace: { type: "string" },
      caps: { type: "string", default: "tiers" },
      seed: { type: "string", default: "1" },
      json: { type: "string" },
      also: { type: "string", multiple: true, default: [] },
    },
  });
  const seed = z.coerce.number().int().parse(values.seed);
  const sources: readonly Source[] = [
    ...SYNTHETIC.map((name) => ({ name, path: `synthetic:${name}`, timeScale: 1 })),
    ...(values.trace === undefined ? [] : [{ name: "trace", path: values.trace, timeScale: TRACE_TIME_SCALE }]),
  ];
  const options = { ...DEFAULT_OPTIONS, seed, tiers: values.caps === "none" ? UNCAPPED_TIERS : TIERS };
  const runs = sources.map((source) => runAll(source, options, [...POLICY_NAMES, ...values.also]));
  const hour = simulatedHour(seed);
  process.stdout.write(
    `Cluster ${CLUSTER}, seed ${seed}, estimate error ${DEFAULT_OPTIONS.estimateError}, account caps: ${values.caps}.\n\n`,
  );
  process.stdout.write(`${markdown(goalRows(runs, hour))}\n\n${markdown(policyRows(runs))}\n`);
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(runs, null, 2)}\n`);
}

function runAll({ name, path, timeScale }: Source, options: SimOptions, policies: readonly string[]): WorkloadRuns {
  const lines = loadWorkload(path, options.seed);
  const cluster = readCluster(CLUSTER);
  const catalog = seededCatalog(lines);
  const summaries = policies.map((policyName) => {
    const policy = policyOf(policyName, catalog.cost);
    const { summary } = runPolicy({ lines, catalog, cluster, policy, name: policyName, timeScale, options });
    process.stderr.write(`${name} ${policyName}: ${summary.wall_s} s\n`);
    return summary;
  });
  return { workload: name, summaries: Object.fromEntries(summaries.map((summary) => [summary.policy, summary])) };
}

main(process.argv.slice(2));
