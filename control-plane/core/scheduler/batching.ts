/**
 * Several jobs of one class on one gang: only where the class says that it pays, and where memory and reservations allow it.
 * The weights are counted once for each job, so a batch never needs more memory than it is given.
 */
import type { Cluster } from "./cluster.ts";
import { spare } from "./device.ts";
import type { Place, QueuedJob } from "./event.ts";
import { batchStretch } from "./job-class.ts";
import type { CostModel, JobClass } from "./job-class.ts";
import type { Use } from "./reservation.ts";

export interface BatchQuestion {
  readonly class: JobClass;
  readonly nowMs: number;
  /** Placements that may still be made. */
  readonly limit: number;
  /** Waiting jobs that could run together with the placed one, in fair order. */
  readonly mates: (limit: number) => readonly QueuedJob[];
  readonly allows: (use: Use) => boolean;
}

/** The placement, and those of the jobs that share its gang: all with one estimate, none of them occupied yet. */
export function batchOf(cluster: Cluster, cost: CostModel, found: Place, question: BatchQuestion): readonly Place[] {
  const { class: jobClass, nowMs, limit } = question;
  const roomMax = Math.min(jobClass.batchMax, limit, jobClass.batchMax > 1 ? memoryMax(cluster, found) : 1);
  if (roomMax <= 1) return [found];
  const mates = question.mates(roomMax - 1);
  const runner = cluster.runner(found.runner);
  const steps = found.job.steps - found.job.stepsDone;
  for (let size = 1 + mates.length; size > 1; size--) {
    if (batchStretch(jobClass, size) >= size || runner === null) continue;
    const runMs = cost.runMs(jobClass.id, runner.terms.gpu, found.k, steps, size);
    if (runMs === null) continue;
    const estimateMs = found.coldMs + runMs;
    const device = found.slot === null ? undefined : runner.devices.find(({ id }) => id === found.devices[0]);
    const seat = device === undefined ? null : { device, vramBytes: found.vramBytes * size };
    if (!question.allows({ k: found.k, endMs: nowMs + estimateMs, seat })) continue;
    return [found.job, ...mates.slice(0, size - 1)].map((job) => ({ ...found, job, batch: found.job.id, estimateMs }));
  }
  return [found];
}

/** Jobs that fit into the memory of each device. */
function memoryMax(cluster: Cluster, { runner, devices, vramBytes, slot }: Place): number {
  const own = (cluster.runner(runner)?.devices ?? []).filter(({ id }) => devices.includes(id));
  const bytes = own.map((device) => (slot === null ? device.vramBytes : spare(device).bytes));
  return Math.floor(Math.min(...bytes) / Math.max(1, vramBytes));
}
