/**
 * Whom a blocked head may push aside, if anybody: at a step boundary, with a checkpoint.
 *
 * The potential rule ends all loops: after the exchange the head's account (with its charge) must still stand before the
 * victim's (with its refund) by the cost of a reload, so the victim can never push the head aside in turn. Within a tier
 * accounts are compared, across tiers the tiers. A victim has run a while, has a while to go, resumes exactly, and was
 * preempted fewer than `preemptionsMax` times; what it costs must fit into the waste budget.
 */
import { freeWhole, serves } from "./cluster.ts";
import type { Cluster, RunnerState } from "./cluster.ts";
import { roomAtMs, takesSlot } from "./device.ts";
import type { DeviceState, Tenancy } from "./device.ts";
import { remainingChargeMs } from "./event.ts";
import type { QueuedJob } from "./event.ts";
import type { Standing } from "./fair-queue.ts";
import type { CostModel, JobClass, Shape } from "./job-class.ts";
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
  readonly shape: Shape;
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
    [...question.running].filter((running) => isVictim(cost, limits, question, running)),
    (running) => running.runner,
  );
  let best: Exchange | null = null;
  for (const runner of cluster.runners) {
    const here = victims.get(runner.terms.id);
    if (here === undefined || !runner.up || question.reserved(runner.terms.id)) continue;
    const byId = new Map(here.map((victim) => [victim.job.id, victim]));
    for (const shape of question.class.shapes) {
      if (!serves(runner, question.class.model, shape)) continue;
      const found = cheapest(runner, shape, byId, cost, question.nowMs);
      if (found !== null && (best === null || found.wasteMs < best.wasteMs)) best = found;
    }
  }
  return best;
}

function isVictim(
  cost: CostModel,
  limits: SchedulerLimits,
  question: PreemptionQuestion,
  running: RunningJob,
): boolean {
  const { job } = running;
  const ranMs = question.nowMs - running.startedAtMs;
  const leftMs = running.estimateMs - ranMs;
  return (
    !running.stopping &&
    question.classes.get(job.class)?.resume === "exact" &&
    job.preemptions < limits.preemptionsMax &&
    ranMs >= limits.victimRanMinMs &&
    leftMs >= Math.max(limits.victimLeftMinMs, limits.victimLeftMinShare * running.estimateMs) &&
    standsBehind(cost, question, running, Math.min(1, leftMs / running.estimateMs))
  );
}

/** The potential rule. All in the head's units: tag units of an account of the tier, or of the tiers. */
function standsBehind(
  cost: CostModel,
  question: PreemptionQuestion,
  { job, k }: RunningJob,
  leftShare: number,
): boolean {
  const head = question.standing(question.head);
  const victim = question.standing(job);
  const headMs = remainingChargeMs(cost, question.head);
  const refundMs = remainingChargeMs(cost, job) * leftShare;
  const reloadMs = cost.loadMs(job.class, "H100-80") * k;
  if (head.tier === victim.tier) {
    return head.tag + head.unitsOf(headMs + reloadMs) <= victim.tag - victim.unitsOf(refundMs);
  }
  return head.tierTag + head.tierUnitsOf(headMs + reloadMs) <= victim.tierTag - victim.tierUnitsOf(refundMs);
}

/** Running jobs that only leave together, and the devices that they free: a gang, a batch, all who share a device. */
interface Party {
  readonly victims: readonly RunningJob[];
  readonly frees: number;
  readonly wasteMs: number;
}

/** The victims that make enough room on the runner at the least waste; null if all together make too little. */
function cheapest(
  runner: RunnerState,
  shape: Shape,
  victims: ReadonlyMap<string, RunningJob>,
  cost: CostModel,
  nowMs: number,
): Exchange | null {
  const wasteOf = (victim: RunningJob) => victim.k * (cost.loadMs(victim.job.class, runner.terms.gpu) + stepMs(victim));
  const partyOf: PartyOf = (tenancies, frees) => {
    const all: RunningJob[] = [];
    let wasteMs = 0;
    for (const tenancy of tenancies) {
      for (const id of tenancy.jobs) {
        const victim = victims.get(id);
        if (victim === undefined) return null;
        all.push(victim);
        wasteMs += wasteOf(victim);
      }
    }
    return { victims: all, frees, wasteMs };
  };
  const chosen = [wholeDevices(runner, shape, partyOf), oneSlot(runner, shape, partyOf)]
    .filter((found) => found !== null)
    .toSorted((a, b) => a.wasteMs - b.wasteMs)[0];
  if (chosen === undefined) return null;
  return {
    runner: runner.terms.id,
    shape,
    victims: chosen.victims,
    wasteMs: chosen.wasteMs,
    freeAtMs: nowMs + Math.max(...chosen.victims.map(stepMs)),
  };
}

type PartyOf = (tenancies: readonly Tenancy[], frees: number) => Party | null;

/** Parties are sent away, the cheapest a device first, until as many devices are free as the shape takes whole. */
function wholeDevices(runner: RunnerState, shape: Shape, partyOf: PartyOf): Party | null {
  const isUsable = (device: DeviceState) => shape.vramBytes <= device.vramBytes && !takesSlot(device, shape.k);
  const seen = new Set<Tenancy>();
  const parties: Party[] = [];
  for (const device of runner.devices) {
    const [first] = device.tenancies;
    if (first === undefined || seen.has(first) || !isUsable(device)) continue;
    seen.add(first);
    const found = partyOf(device.tenancies, first.devices.filter(isUsable).length);
    if (found !== null) parties.push(found);
  }
  const order = parties.toSorted(
    (a, b) => a.wasteMs / a.frees - b.wasteMs / b.frees || (firstOf(a) < firstOf(b) ? -1 : 1),
  );
  const victims: RunningJob[] = [];
  let [free, wasteMs] = [freeWhole(runner, shape), 0];
  for (const party of order) {
    if (free >= shape.k) break;
    victims.push(...party.victims);
    free += party.frees;
    wasteMs += party.wasteMs;
  }
  return free < shape.k || victims.length === 0 ? null : { victims, frees: free, wasteMs };
}

/** On the shared device where it costs least, tenants are sent away until a slot and its memory are free. */
function oneSlot(runner: RunnerState, shape: Shape, partyOf: PartyOf): Party | null {
  let best: Party | null = null;
  for (const device of runner.devices) {
    if (!takesSlot(device, shape.k)) continue;
    const parties = device.tenancies
      .map((tenancy) => partyOf([tenancy], 0))
      .filter((party) => party !== null)
      .toSorted((a, b) => a.wasteMs - b.wasteMs || (firstOf(a) < firstOf(b) ? -1 : 1));
    const gone: RunningJob[] = [];
    let wasteMs = 0;
    for (const party of parties) {
      if (hasRoomWithout(device, shape, gone)) break;
      gone.push(...party.victims);
      wasteMs += party.wasteMs;
    }
    if (gone.length === 0 || !hasRoomWithout(device, shape, gone)) continue;
    if (best === null || wasteMs < best.wasteMs) best = { victims: gone, frees: 0, wasteMs };
  }
  return best;
}

function hasRoomWithout(device: DeviceState, shape: Shape, gone: readonly RunningJob[]): boolean {
  const ids = new Set(gone.map((victim) => victim.job.id));
  const leavesAtMs = (tenancy: Tenancy) => ([...tenancy.jobs].every((id) => ids.has(id)) ? 0 : Infinity);
  return roomAtMs(device, shape, leavesAtMs) === 0;
}

function stepMs(victim: RunningJob): number {
  return victim.estimateMs / Math.max(1, victim.job.steps - victim.job.stepsDone);
}

function firstOf(party: Party): string {
  return party.victims[0]?.job.id ?? "";
}
