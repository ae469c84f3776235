/** What a simulated product offers: its classes, what they cost, and which one a request falls into. */
import { createHash } from "node:crypto";
import { SeededCostModel } from "#control-plane/core/scheduler/cost-model.ts";
import type { CostModel, JobClass } from "#control-plane/core/scheduler/job-class.ts";
import type { WorkloadLine } from "./workload-file.ts";

export interface Catalog {
  readonly cost: CostModel;
  readonly classes: readonly JobClass[];
  /** Null where no class holds the request. */
  readonly classOf: (line: WorkloadLine) => string | null;
  /** Chained parts of a job of the class: it can be stopped only between two of them; 1: between any two steps. */
  readonly segmentsOf: (classId: string) => number;
}

/** The classes that the given requests fall into, at the costs of the project's tables. */
export function seededCatalog(lines: readonly WorkloadLine[]): Catalog {
  const cost = new SeededCostModel();
  const keyOf = ({ model, size, seconds }: WorkloadLine) => `${model} ${size} ${seconds}`;
  const byKey = new Map(
    [...new Map(lines.map((line) => [keyOf(line), line]))].map(([key, { model, size, seconds }]) => [
      key,
      cost.define(model, size, seconds),
    ]),
  );
  const defined = [...byKey.values()].filter((jobClass) => jobClass !== null);
  const byId = new Map(defined.toSorted((a, b) => (a.id < b.id ? -1 : 1)).map((jobClass) => [jobClass.id, jobClass]));
  return {
    cost,
    classes: [...byId.values()],
    classOf: (line) => byKey.get(keyOf(line))?.id ?? null,
    segmentsOf: (classId) => byId.get(classId)?.segments ?? 1,
  };
}

/** Names the costs that a run used: every estimate of every class on the given kinds of GPU. */
export function costsSha256({ cost, classes }: Catalog, gpus: readonly string[]): string {
  const rows = classes.flatMap((jobClass) =>
    [...new Set(gpus)].flatMap((gpu) =>
      jobClass.shapes.map(({ k }) => [
        jobClass.id,
        gpu,
        k,
        cost.runMs(jobClass.id, gpu, k, 1),
        cost.runMs(jobClass.id, gpu, k, 50),
        cost.loadMs(jobClass.id, gpu),
        cost.chargeMs(jobClass.id, 50),
      ]),
    ),
  );
  return createHash("sha256").update(JSON.stringify(rows)).digest("hex");
}
