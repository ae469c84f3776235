/**
 * Whom a blocked head may push aside, if anybody: at a step boundary, with a checkpoint.
 *
 * The potential rule ends all loops: after the exchange the head's account (with its charge) must still stand before the
 * victims' (with all their refunds) by the cost of a reload, so no victim can push the head aside in turn. Within a tier
 * accounts are compared, across tiers the tiers. A victim has run a while, has a while to go, resumes exactly, and was
 * preempted fewer than `preemptionsMax` times; what it costs must fit into the waste budget.
 */
import { serves } from "./cluster.ts";
import type { Cluster, RunnerState } from "./cluster.ts";
import { remainingChargeMs } from "./event.ts";
import type { QueuedJob } from "./event.ts";
import type { Standing } from "./fair-queue.ts";
import type { CostModel, JobClass } from "./job-class.ts";
import type { SchedulerLimits } from "./limits.ts";

export interface RunningJob {
  readonly job: QueuedJob;
  readonly runner: string;
  readonly k: number;
  readonly startedAtMs: number;
  readonly estimateMs: number;
  /** Of the estimate, what goes by before the first step. */
  readonly coldMs: number;
  /** Asked to stop already. */
  readonly stopping: boolean;
}

export interface Exchange {
  readonly runner: string;
  readonly k: number;
  readonly victims: readonly RunningJob[];
  /** GPU time that the exchange wastes: reloads, and steps that wait for their boundary. */
  readonly wasteMs: number;
  /** When the last victim is expected to have stopped. */
  readonly freeAtMs: number;
}

export interface PreemptionQuestion {
  readonly head: QueuedJob;
  readonly class: JobClass;
  readonly classes: ReadonlyMap<string, JobClass>;
  readonly running: Iterable<RunningJob>;
  readonly standing: (job: QueuedJob) => Standing;
  /** Runners that are reserved for others. */
  readonly reserved: (runner: string) => boolean;
  readonly nowMs: number;
}

export function exchangeFor(
  cluster: Cluster,
  cost: CostModel,
  limits: SchedulerLimits,
  question: PreemptionQuestion,
): Exchange | null {
  const victims = Map.groupBy(
    [...question.running]
      .filter((running) => isVictim(limits, question, running))
      .map((running) => standingOf(cost, question, running))
      .filter((victim) => victim.refund <= victim.room),
    ({ running }) => running.runner,
  );
  let best: Exchange | null = null;
  for (const runner of cluster.runners) {
    const here = victims.get(runner.terms.id);
    if (here === undefined || !runner.up || question.reserved(runner.terms.id)) continue;
    for (const { k, vramBytes } of question.class.shapes) {
      if (k > runner.devices.length || !serves(runner, question.class.model, vramBytes)) continue;
      const found = cheapest(runner, k, here, cost, question.nowMs);
      if (found !== null && (best === null || found.wasteMs < best.wasteMs)) best = found;
    }
  }
  return best;
}

function isVictim(limits: SchedulerLimits, question: PreemptionQuestion, running: RunningJob): boolean {
  const { job } = running;
  const ranMs = question.nowMs - running.startedAtMs;
  const leftMs = running.estimateMs - ranMs;
  return (
    !running.stopping &&
    question.classes.get(job.class)?.resume === "exact" &&
    job.preemptions < limits.preemptionsMax &&
    ranMs >= limits.victimRanMinMs &&
    leftMs >= Math.max(limits.victimLeftMinMs, limits.victimLeftMinShare * running.estimateMs)
  );
}

/** A victim under the potential rule, in tag units of an account of its tier, or of its tier. */
interface Victim {
  readonly running: RunningJob;
  /** Whose tag is compared. */
  readonly claim: string;
  readonly refund: number;
  /** How far its claim stands behind the head's, with the head's charge and a reload. */
  readonly room: number;
}

function standingOf(cost: CostModel, question: PreemptionQuestion, running: RunningJob): Victim {
  const { job, k, startedAtMs, estimateMs, coldMs } = running;
  const head = question.standing(question.head);
  const victim = question.standing(job);
  const leftMs = estimateMs - (question.nowMs - startedAtMs);
  const refundMs = remainingChargeMs(cost, job) * Math.min(1, leftMs / (estimateMs - coldMs));
  const chargeMs = remainingChargeMs(cost, question.head) + cost.loadMs(job.class, "H100-80") * k;
  if (head.tier === victim.tier) {
    const room = victim.tag - (head.tag + head.unitsOf(chargeMs));
    return { running, claim: `account ${job.account}`, refund: victim.unitsOf(refundMs), room };
  }
  const room = victim.tierTag - (head.tierTag + head.tierUnitsOf(chargeMs));
  return { running, claim: `tier ${victim.tier}`, refund: victim.tierUnitsOf(refundMs), room };
}

/** The victims that free enough of the runner at the least waste; null if all together free too little. */
function cheapest(
  runner: RunnerState,
  k: number,
  victims: readonly Victim[],
  cost: CostModel,
  nowMs: number,
): Exchange | null {
  const stepMs = (victim: RunningJob) => victim.estimateMs / Math.max(1, victim.job.steps - victim.job.stepsDone);
  const wasteOf = (victim: RunningJob) => victim.k * (cost.loadMs(victim.job.class, runner.terms.gpu) + stepMs(victim));
  const order = victims.toSorted(
    ({ running: a }, { running: b }) => wasteOf(a) / a.k - wasteOf(b) / b.k || (a.job.id < b.job.id ? -1 : 1),
  );
  const chosen: RunningJob[] = [];
  // Several victims of one account, or tier, are refunded together.
  const claims = new Map<string, { readonly refund: number; readonly room: number }>();
  let free = runner.free;
  for (const { running, claim, refund, room } of order) {
    if (free >= k) break;
    const so = claims.get(claim) ?? { refund: 0, room };
    const together = { refund: so.refund + refund, room: Math.min(so.room, room) };
    if (together.refund > together.room) continue;
    claims.set(claim, together);
    chosen.push(running);
    free += running.k;
  }
  if (free < k || chosen.length === 0) return null;
  return {
    runner: runner.terms.id,
    k,
    victims: chosen,
    wasteMs: chosen.reduce((sum, victim) => sum + wasteOf(victim), 0),
    freeAtMs: nowMs + Math.max(...chosen.map(stepMs)),
  };
}
