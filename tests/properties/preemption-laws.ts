/**
 * I7: preemption ends. A single exchange lowers a potential, so a chain of them cannot lead back by itself: whoever pushes
 * back the one that pushed it aside does so because others were served in between.
 */
import type { Place, QueuedJob, TierTerms } from "#control-plane/core/scheduler/event.ts";
import { TAG_UNITS } from "#control-plane/core/scheduler/fair-state.ts";
import { demand, SILENT } from "./laws.ts";
import { classOf, COST } from "./studio.ts";
import type { Laws, Run, World } from "./world.ts";

/** Who is preempted may be, no more often than allowed, and never by somebody it pushed aside while nobody else was served. */
export class NoPreemptionCycle implements Laws {
  readonly onState = SILENT.onState;
  readonly onSettled = SILENT.onSettled;
  preemptions = 0;
  /** By the job that was pushed aside: who did it last, and as which event. */
  readonly #pushedBy = new Map<string, { readonly head: string; readonly at: number }>();
  /** Jobs in the order in which they were placed or lost what they had; arrivals, changes of terms and of the leader have no job. */
  readonly #events: (string | null)[] = [];
  #terms = "";
  #leader: object | null = null;
  #lookedMs = 0;

  onPlace(_world: World, { job }: Place): void {
    this.#events.push(job.id);
  }

  /** A job that arrives may bring its account or tier back, to where virtual time is by now. */
  onArrival(): void {
    this.#events.push(null);
  }

  /** Whoever loses an attempt is given back its charge. */
  onEnded(_world: World, job: QueuedJob, stepsRun: number): void {
    if (stepsRun < job.steps - job.stepsDone) this.#events.push(job.id);
  }

  onPreempt(world: World, victim: Run, head: QueuedJob): void {
    const { job } = victim.place;
    this.preemptions++;
    demand(victim.stop === null, `I7: ${job.id} is asked to stop twice`);
    demand(classOf(job.class).resume === "exact", `I7: ${job.id} cannot resume`);
    demand(job.preemptions < world.limits.preemptionsMax, `I7: ${job.id} is preempted a third time`);
    demand(world.nowMs - victim.startedMs >= world.limits.victimRanMinMs, `I7: ${job.id} has hardly begun`);
    const terms = JSON.stringify([[...world.tiers.values()], [...world.accounts]]);
    // A new leader does not know what an account was owed.
    if (terms !== this.#terms || world.leader !== this.#leader) this.#events.push(null);
    this.#terms = terms;
    this.#leader = world.leader;
    // The end of a backoff is an arrival, too.
    const woke = ({ notBeforeMs }: QueuedJob) => notBeforeMs > this.#lookedMs && notBeforeMs <= world.nowMs;
    if ([...world.waiting.values()].some(woke)) this.#events.push(null);
    this.#lookedMs = world.nowMs;
    const circle = this.#circle(head.id, job.id);
    if (circle !== null) {
      const since = this.#events.slice(circle.from);
      demand(
        since.some((event) => event === null || !circle.jobs.includes(event)),
        `I7: ${head.id} pushes ${job.id} aside, by which it was pushed aside, and nobody else was served since or came`,
      );
    }
    this.#pushedBy.set(job.id, { head: head.id, at: this.#events.length });
  }

  /** From the head back to the victim along who pushed whom aside; null if it does not lead there. */
  #circle(head: string, victim: string): { readonly jobs: readonly string[]; readonly from: number } | null {
    const jobs = [head];
    let from = Infinity;
    for (let pushed = this.#pushedBy.get(head); pushed !== undefined; pushed = this.#pushedBy.get(pushed.head)) {
      if (jobs.includes(pushed.head)) return null;
      from = Math.min(from, pushed.at);
      jobs.push(pushed.head);
      if (pushed.head === victim) return { jobs, from };
    }
    return null;
  }
}

/**
 * An exchange lowers the potential: with its charge the head still stands before the victim with its refund; within a
 * tier their accounts, across tiers the tiers. For a world in which every estimate is true.
 */
export const fallingPotential: Laws = {
  ...SILENT,
  onPreempt(world, victim, head) {
    const { job } = victim.place;
    const clock = world.clock();
    const [headTier, victimTier] = [world.tierOf(head.account), world.tierOf(job.account)];
    const isOneTier = headTier === victimTier;
    const tagOf = (account: string) =>
      isOneTier
        ? clock.accounts.find((known) => known.account === account)?.tag
        : clock.tiers.find((known) => known.tier === world.tierOf(account).tier)?.tag;
    const unitsOf = (terms: TierTerms, { class: classId }: QueuedJob, steps: number) =>
      (COST.chargeMs(classId, steps) * TAG_UNITS) / (isOneTier ? terms.weight : shareOf(world, terms));
    const victims = [...world.running.values()].filter(
      ({ place, stop }) =>
        stop?.for === head.id &&
        (isOneTier ? place.job.account === job.account : world.tierOf(place.job.account) === victimTier),
    );
    const refund = [victim, ...victims].reduce((sum, run) => {
      const { steps, stepsDone } = run.place.job;
      // It stops behind the step that it is in.
      const stepsLeft = steps - stepsDone - world.stepsRunAt(run, world.nowMs) - 1;
      return sum + unitsOf(victimTier, run.place.job, stepsLeft);
    }, 0);
    const after = (tagOf(head.account) ?? Infinity) + unitsOf(headTier, head, head.steps - head.stepsDone);
    const before = (tagOf(job.account) ?? 0) - refund;
    demand(after <= before, `I7: ${head.account} with ${head.id} would stand behind ${job.account} without ${job.id}`);
  },
};

/** The weights of the tier's accounts that have jobs. */
function shareOf(world: World, terms: TierTerms): number {
  const jobs = [...world.waiting.values(), ...[...world.running.values()].map(({ place }) => place.job)];
  const active = new Set(jobs.map(({ account }) => account).filter((account) => world.tierOf(account) === terms));
  return Math.min(terms.shareMax, Math.max(terms.shareMin, active.size * terms.weight));
}
