/** A small world with round figures: steps of a second, loads of two, classes for one device and one for a gang of four. */
import { SeededCostModel } from "#control-plane/core/scheduler/cost-model.ts";
import type { Policy } from "#control-plane/core/scheduler/event.ts";
import type { JobClass } from "#control-plane/core/scheduler/job-class.ts";
import type { Catalog } from "#sim/catalog.ts";
import type { SimRunner } from "#sim/cluster-file.ts";
import { policyOf } from "#sim/policies/registry.ts";
import { DEFAULT_OPTIONS, runPolicy } from "#sim/run.ts";
import type { WorkloadLine } from "#sim/workload-file.ts";

const SMALL: JobClass = {
  id: "small",
  model: "toy",
  shapes: [{ k: 1, vramBytes: 1_000 }],
  resume: "exact",
  batchMax: 1,
};
/** Up to three run together, each further one adds a tenth of the time. */
const BATCHED: JobClass = { ...SMALL, id: "batched", batchMax: 3, batchFactor: 0.1 };
/** Half of a device's memory. */
const HALF: JobClass = { ...SMALL, id: "half", shapes: [{ k: 1, vramBytes: 40e9 }] };
const WIDE: JobClass = { ...SMALL, id: "wide", shapes: [{ k: 4, vramBytes: 1_000 }] };

export function toyCatalog(): Catalog {
  const cost = new SeededCostModel();
  const classes = [SMALL, BATCHED, HALF, WIDE];
  for (const jobClass of classes) {
    const [{ k } = { k: 1 }] = jobClass.shapes;
    const gangs = new Map([[k, { encodeMs: 0, stepMs: 1_000, decodeMs: 0 }]]);
    cost.declare(jobClass, { gangs, loadMs: 2_000, charge: { fixedMs: 0, stepMs: 1_000 * k } });
  }
  const bySize = new Map(classes.map((jobClass, index) => [["1x1", "2x2", "3x3", "4x4"][index], jobClass.id]));
  return {
    cost,
    classes,
    classOf: ({ size }) => bySize.get(size) ?? null,
    segmentsOf: () => 1,
  };
}

export function toyCluster(
  runners: number,
  devices: number,
  mtbfH: number | null = null,
  slots = 1,
): readonly SimRunner[] {
  return Array.from({ length: runners }, (_, index) => ({
    id: `r${index}`,
    gpu: "H100-80",
    devices,
    vram_gb: 80,
    slots,
    nvlink: true,
    mtbf_h: mtbfH,
  }));
}

/** A request for a small job of ten steps, unless said otherwise. */
export function ask(at_s: number, account: string, changes: Partial<WorkloadLine> = {}): WorkloadLine {
  return {
    at_s,
    account,
    tier: "pro",
    model: "toy",
    weights: "base",
    size: "1x1",
    seconds: 1,
    steps: 10,
    outcome: "ok",
    ...changes,
  };
}

export function wide(at_s: number, account: string, changes: Partial<WorkloadLine> = {}): WorkloadLine {
  return ask(at_s, account, { size: "4x4", ...changes });
}

export function batched(at_s: number, account: string, changes: Partial<WorkloadLine> = {}): WorkloadLine {
  return ask(at_s, account, { size: "2x2", ...changes });
}

export function half(at_s: number, account: string, changes: Partial<WorkloadLine> = {}): WorkloadLine {
  return ask(at_s, account, { size: "3x3", ...changes });
}

export function runToy(
  lines: readonly WorkloadLine[],
  {
    policy = "callsheet",
    cluster = toyCluster(1, 4),
    ...options
  }: { policy?: string | Policy; cluster?: readonly SimRunner[] } & Partial<typeof DEFAULT_OPTIONS> = {},
) {
  const catalog = toyCatalog();
  return runPolicy({
    lines,
    catalog,
    cluster,
    policy: typeof policy === "string" ? policyOf(policy, catalog.cost) : policy,
    timeScale: 1,
    options: { ...DEFAULT_OPTIONS, estimateError: 0, ...options },
  });
}

/** When the job of that line first started, in seconds. */
export function startOf(log: ReturnType<typeof runToy>["log"], line: number): number {
  const job = `j${String(line).padStart(7, "0")}`;
  const placed = log.records.find((record) => record.event === "placed" && record.job === job);
  return (placed?.t_ms ?? Number.NaN) / 1_000;
}
