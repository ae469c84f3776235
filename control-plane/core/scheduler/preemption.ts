/**
 * Whom a blocked head may push aside, if anybody: at a step boundary, with a checkpoint.
 *
 * The potential rule ends all loops: after the exchange the head's account (with its charge) must still stand before the
 * victims' (with all their refunds) by the cost of a reload, so no victim can push the head aside in turn. Within a tier
 * accounts are compared, across tiers the tiers. A victim has run a while, has a while to go, resumes exactly, and was
 * preempted fewer than `preemptionsMax` times, and its runner keeps its work; what it costs must fit into the waste budget.
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
    if (runner.terms.keeps === false) continue;
    const byId = new Map(here.map((victim) => [victim.running.job.id, victim]));
    for (const shape of question.class.shapes) {
      if (!serves(runner, question.class.model, shape)) continue;
      const found = cheapest(runner, shape, byId, cost, question.nowMs);
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

/** Running jobs that only leave together, and the devices that they free: a gang, a batch, all who share a device. */
interface Party {
  readonly victims: readonly Victim[];
  readonly frees: number;
  readonly wasteMs: number;
}

/** The victims that make enough room on the runner at the least waste; null if all together make too little. */
function cheapest(
  runner: RunnerState,
  shape: Shape,
  victims: ReadonlyMap<string, Victim>,
  cost: CostModel,
  nowMs: number,
): Exchange | null {
  const wasteOf = (victim: RunningJob) => victim.k * (cost.loadMs(victim.job.class, runner.terms.gpu) + stepMs(victim));
  const partyOf: PartyOf = (tenancies, frees) => {
    const all: Victim[] = [];
    let wasteMs = 0;
    for (const tenancy of tenancies) {
      for (const id of tenancy.jobs) {
        const victim = victims.get(id);
        if (victim === undefined) return null;
        all.push(victim);
        wasteMs += wasteOf(victim.running);
      }
    }
    return { victims: all, frees, wasteMs };
  };
  const chosen = [wholeDevices(runner, shape, partyOf), oneSlot(runner, shape, partyOf)]
    .filter((found) => found !== null)
    .toSorted((a, b) => a.wasteMs - b.wasteMs)[0];
  if (chosen === undefined) return null;
  const gone = chosen.victims.map(({ running }) => running);
  return {
    runner: runner.terms.id,
    shape,
    victims: gone,
    wasteMs: chosen.wasteMs,
    freeAtMs: nowMs + Math.max(...gone.map(stepMs)),
  };
}

/** Several victims of one account, or tier, are refunded together: the potential must fall for the sum. */
class Refunds {
  readonly #claims = new Map<string, { readonly refund: number; readonly room: number }>();

  /** False if it would not fall with these as well; then nothing is taken in. */
  admit(victims: readonly Victim[]): boolean {
    const next = new Map<string, { readonly refund: number; readonly room: number }>();
    for (const { claim, refund, room } of victims) {
      const so = next.get(claim) ?? this.#claims.get(claim) ?? { refund: 0, room };
      const together = { refund: so.refund + refund, room: Math.min(so.room, room) };
      if (together.refund > together.room) return false;
      next.set(claim, together);
    }
    for (const [claim, together] of next) this.#claims.set(claim, together);
    return true;
  }
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
  const victims: Victim[] = [];
  const refunds = new Refunds();
  let [free, wasteMs] = [freeWhole(runner, shape), 0];
  for (const party of order) {
    if (free >= shape.k) break;
    if (!refunds.admit(party.victims)) continue;
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
    const gone: Victim[] = [];
    const refunds = new Refunds();
    let wasteMs = 0;
    for (const party of parties) {
      if (hasRoomWithout(device, shape, gone)) break;
      if (!refunds.admit(party.victims)) continue;
      gone.push(...party.victims);
      wasteMs += party.wasteMs;
    }
    if (gone.length === 0 || !hasRoomWithout(device, shape, gone)) continue;
    if (best === null || wasteMs < best.wasteMs) best = { victims: gone, frees: 0, wasteMs };
  }
  return best;
}

function hasRoomWithout(device: DeviceState, shape: Shape, gone: readonly Victim[]): boolean {
  const ids = new Set(gone.map(({ running }) => running.job.id));
  const leavesAtMs = (tenancy: Tenancy) => ([...tenancy.jobs].every((id) => ids.has(id)) ? 0 : Infinity);
  return roomAtMs(device, shape, leavesAtMs) === 0;
}

function stepMs(victim: RunningJob): number {
  return victim.estimateMs / Math.max(1, victim.job.steps - victim.job.stepsDone);
}

function firstOf(party: Party): string {
  return party.victims[0]?.running.job.id ?? "";
}
