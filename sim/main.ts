/**
 * The simulator's command line: runs policies over a workload and prints what came of it.
 *
 * With several policies the names of `--log` get the policy's name before their ending.
 */
import { writeFileSync } from "node:fs";
import { basename } from "node:path";
import { parseArgs } from "node:util";
import { z } from "zod";
import { seededCatalog } from "./catalog.ts";
import { readCluster } from "./cluster-file.ts";
import { writeLog } from "./log-record.ts";
import { policyOf, POLICY_NAMES } from "./policies/registry.ts";
import { DEFAULT_OPTIONS, runPolicy } from "./run.ts";
import type { Summary } from "./summary.ts";
import { drawRuns } from "./svg.ts";
import { TIERS, UNCAPPED_TIERS } from "./terms.ts";
import { loadWorkload } from "./workload-source.ts";

const USAGE = `Usage: npm run sim -- --workload FILE|synthetic:NAME --cluster FILE|NAME --policy NAME[,NAME...]
    [--time-scale X] [--seed N] [--log FILE] [--json FILE] [--svg FILE]
    [--estimate-error SIGMA] [--straggler-share X] [--straggler-factor X] [--mtbf-h HOURS] [--caps tiers|none]
Policies: ${POLICY_NAMES.join(", ")}.
Clusters: a JSON file, or RUNNERSxDEVICES-GPU as 8x8-h100.
`;

const Options = z.object({
  workload: z.string(),
  cluster: z.string(),
  policy: z.string().transform((names) => names.split(",")),
  "time-scale": z.coerce.number().positive().default(1),
  seed: z.coerce.number().int().default(1),
  "estimate-error": z.coerce.number().nonnegative().default(DEFAULT_OPTIONS.estimateError),
  "straggler-share": z.coerce.number().min(0).max(1).default(DEFAULT_OPTIONS.stragglerShare),
  "straggler-factor": z.coerce.number().min(1).default(DEFAULT_OPTIONS.stragglerFactor),
  /** Of accounts; with `none` policies differ by their order alone. */
  caps: z.enum(["tiers", "none"]).default("tiers"),
  "mtbf-h": z.coerce.number().positive().optional(),
  log: z.string().optional(),
  json: z.string().optional(),
  svg: z.string().optional(),
});

function main(args: readonly string[]): number {
  const flags = Object.fromEntries(Object.keys(Options.shape).map((name) => [name, { type: "string" as const }]));
  const { values } = parseArgs({ args: [...args], options: { ...flags, help: { type: "boolean" } } });
  const parsed = Options.safeParse(values);
  if (values["help"] === true || !parsed.success) {
    process.stderr.write(parsed.success ? USAGE : `${z.prettifyError(parsed.error)}\n${USAGE}`);
    return parsed.success ? 0 : 2;
  }
  simulateAll(parsed.data);
  return 0;
}

function simulateAll(chosen: z.infer<typeof Options>): void {
  const lines = loadWorkload(chosen.workload, chosen.seed);
  const mtbf = chosen["mtbf-h"];
  const cluster = readCluster(chosen.cluster).map((runner) =>
    mtbf === undefined ? runner : { ...runner, mtbf_h: mtbf },
  );
  const catalog = seededCatalog(lines);
  const options = {
    ...DEFAULT_OPTIONS,
    seed: chosen.seed,
    tiers: chosen.caps === "none" ? UNCAPPED_TIERS : TIERS,
    estimateError: chosen["estimate-error"],
    stragglerShare: chosen["straggler-share"],
    stragglerFactor: chosen["straggler-factor"],
  };
  const runs = chosen.policy.map((name) => {
    const policy = policyOf(name, catalog.cost);
    const run = runPolicy({ lines, catalog, cluster, policy, name, timeScale: chosen["time-scale"], options });
    if (chosen.log !== undefined) writeFileSync(logPath(chosen.log, name, chosen.policy.length), writeLog(run.log));
    process.stdout.write(oneLine(run.summary));
    return run;
  });
  if (chosen.json !== undefined) {
    const byPolicy = Object.fromEntries(runs.map(({ summary }) => [summary.policy, summary]));
    writeFileSync(chosen.json, `${JSON.stringify(byPolicy, null, 2)}\n`);
  }
  if (chosen.svg !== undefined) {
    const logs = runs.map(({ log }) => log);
    writeFileSync(chosen.svg, drawRuns(logs, basename(chosen.workload)));
  }
}

function logPath(path: string, policy: string, policies: number): string {
  if (policies === 1) return path;
  const dot = path.lastIndexOf(".");
  return dot > path.lastIndexOf("/") ? `${path.slice(0, dot)}.${policy}${path.slice(dot)}` : `${path}.${policy}`;
}

function oneLine(summary: Summary): string {
  const { wait_s: wait, lower_bounds: bounds } = summary;
  const tiers = Object.entries(wait.tier).map(([tier, { p95 }]) => `${tier} ${p95} s`);
  return [
    `${summary.policy}: ${summary.jobs} jobs (${summary.rejected} rejected) in ${summary.wall_s} s of wall time`,
    `  p95 wait: ${tiers.join(", ")}; light accounts ${wait.light.p95} s, heavy ${wait.heavy.p95} s`,
    `  mean flow ${summary.mean_flow_s} s (bound ${bounds.mean_flow_s}), makespan ${summary.makespan_s} s (bound ${bounds.makespan_s})`,
    `  busy ${summary.busy_ratio}, avoidable idle ${summary.avoidable_idle_ratio}, spread ${summary.spread_ratio}, preemptions ${summary.preemptions}, cold loads ${summary.cold_loads}, cap violations ${summary.cap_violations}`,
    "",
  ].join("\n");
}

process.exitCode = main(process.argv.slice(2));
