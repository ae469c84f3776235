/**
 * What must hold after every event, whatever happens. A law is told everything and throws when it is broken; it knows only
 * what the world knows and what the scheduler says, never how it decides.
 */
import type { Place, QueuedJob, TierTerms } from "#control-plane/core/scheduler/event.ts";
import { classOf, COST, STEP_MS } from "./studio.ts";
import type { Laws, Run, World } from "./world.ts";

export const SILENT: Laws = { onState: () => {}, onPlace: () => {}, onPreempt: () => {}, onSettled: () => {} };

export class BrokenLaw extends Error {}

export function demand(kept: boolean, law: string): asserts kept {
  if (!kept) throw new BrokenLaw(law);
}

/** I2, I11: devices are free when they are given, of one runner that is up, as many as the class has a shape for, large enough. */
export const devices: Laws = {
  ...SILENT,
  onPlace(world, { job, runner, devices: taken, k }) {
    const terms = world.runners.find(({ id }) => id === runner);
    demand(terms !== undefined && !world.down.has(runner), `I2: ${job.id} is placed on ${runner}, which is not up`);
    const held = heldDevices(world);
    demand(new Set(taken).size === k && taken.length === k, `I11: ${job.id} has ${taken.length} devices for k ${k}`);
    demand(
      taken.every((id) => terms.devices.some((device) => device.id === id)),
      `I11: ${job.id} has devices that are not of ${runner}`,
    );
    demand(!taken.some((id) => held.has(id)), `I2: ${job.id} gets a device that another job holds`);
    const shape = classOf(job.class).shapes.find((known) => known.k === k);
    demand(shape !== undefined, `I11: class ${job.class} has no shape for ${k}`);
    const sizes = terms.devices.filter(({ id }) => taken.includes(id)).map(({ vramBytes }) => vramBytes);
    demand(shape.vramBytes <= Math.min(...sizes), `I11: ${job.id} does not fit into the memory of ${runner}`);
  },
};

/** I3: what is placed waits, is awake, runs nowhere, and is the oldest of its account, class and weights unless devices were kept for it. */
export const onePlacement: Laws = {
  ...SILENT,
  onPlace(world, { job }) {
    demand(world.waiting.has(job.id), `I3: ${job.id} is placed but does not wait`);
    demand(!world.running.has(job.id), `I3: ${job.id} is placed while it runs`);
    demand(job.notBeforeMs <= world.nowMs, `I3: ${job.id} is placed in its backoff`);
    const older = awake(world).find((other) => sameLine(other, job) && other.seq < job.seq && !world.kept.has(job.id));
    demand(older === undefined, `I3: ${job.id} overtakes ${older?.id} of the same account, class and weights`);
  },
};

/** I4: nothing is started beyond a cap, also after a cap was lowered or another leader took over. */
export const caps: Laws = {
  ...SILENT,
  onPlace(world, { job }) {
    const terms = world.tierOf(job.account);
    const running = world.runningOf(job.account);
    demand(running < terms.accountRunningMax, `I4: ${job.account} starts one more than ${terms.accountRunningMax}`);
    demand(runningInTier(world, terms) < terms.tierRunningMax, `I4: tier ${terms.tier} starts too many`);
  },
};

/** I5: when nothing more is decided, no job that may run fits on devices that are free and kept for nobody else. */
export const workConserving: Laws = {
  ...SILENT,
  onSettled(world) {
    const keptFor = new Map(world.leader.reservations.map((reservation) => [reservation.runner, reservation]));
    const held = heldDevices(world);
    for (const job of awake(world)) {
      if (!mayRun(world, job)) continue;
      for (const runner of world.runners) {
        const kept = keptFor.get(runner.id);
        const free = runner.devices.filter(({ id }) => !held.has(id)).length;
        if (world.down.has(runner.id)) continue;
        if (kept !== undefined && (kept.job !== job.id || kept.shape.k > free)) continue;
        const fits = classOf(job.class).shapes.some(
          ({ k, vramBytes }) =>
            k <= free && vramBytes <= (runner.devices[0]?.vramBytes ?? 0) && COST.runMs(job.class, runner.gpu, k, 1),
        );
        demand(
          !fits,
          `I5: ${job.id} waits although ${runner.id} has ${free} free devices${kept ? " kept for it" : ""}`,
        );
      }
    }
  },
};

/** What is freed by preemption may come a step later than thought: the victims stop at their own boundaries. */
const BOUNDARY_MS = 3 * STEP_MS;

/** I6: a reservation's start is met; for a world in which every estimate is true and no runner is lost. */
export class KeptReservations implements Laws {
  readonly onState = SILENT.onState;
  readonly onPlace = SILENT.onPlace;
  seen = 0;
  readonly #made = new Map<string, { readonly runner: string; readonly startMs: number; readonly byMs: number }>();
  readonly #freedFor = new Set<string>();

  onPreempt(_world: World, _victim: Run, head: QueuedJob): void {
    this.#freedFor.add(head.id);
  }

  onSettled(world: World): void {
    const kept = new Set(world.leader.reservations.map(({ job }) => job));
    for (const job of this.#made.keys()) if (!kept.has(job)) this.#made.delete(job);
    for (const { job, runner, startMs } of world.leader.reservations) {
      const made = this.#made.get(job);
      if (made?.runner !== runner) {
        this.#made.set(job, { runner, startMs, byMs: startMs + (this.#freedFor.has(job) ? BOUNDARY_MS : 0) });
        this.seen++;
        continue;
      }
      demand(startMs <= made.startMs, `I6: the reservation of ${job} moves from ${made.startMs} to ${startMs}`);
      demand(world.nowMs <= made.byMs, `I6: ${job} was to start on ${runner} at ${made.startMs} and still waits`);
    }
  }
}

/** P4: an account that may run a job never stands before where virtual time was when it came back. */
export class NoBanking implements Laws {
  readonly onPlace = SILENT.onPlace;
  readonly onPreempt = SILENT.onPreempt;
  readonly onSettled = SILENT.onSettled;
  comebacks = 0;
  readonly #cameAt = new Map<string, { readonly tier: string; readonly virtual: number; readonly leader: object }>();
  /** Virtual time of each tier before the latest event or batch. */
  #before: ReadonlyMap<string, number> = new Map();
  #leader: object | null = null;

  onState(world: World): void {
    const clock = world.clock();
    const virtualOf = new Map(clock.tiers.map(({ tier, virtual }) => [tier, virtual]));
    if (this.#leader !== world.leader) this.#before = virtualOf;
    this.#leader = world.leader;
    const waits = new Set(awake(world, world.decidedMs).map(({ account }) => account));
    for (const { account, tag } of clock.accounts) {
      const { tier, accountRunningMax } = world.tierOf(account);
      const came = this.#cameAt.get(account);
      if (!waits.has(account) || world.runningOf(account) >= accountRunningMax) this.#cameAt.delete(account);
      else if (came?.tier === tier && came.leader === world.leader) {
        demand(tag >= came.virtual, `P4: ${account} stands at ${tag}, before ${came.virtual}, when it came back`);
      } else {
        const virtual = this.#before.get(tier) ?? 0;
        demand(tag >= virtual, `P4: ${account} comes back at ${tag}, before virtual time ${virtual}`);
        this.#cameAt.set(account, { tier, virtual, leader: world.leader });
        this.comebacks++;
      }
    }
    this.#before = virtualOf;
  }
}

export const ALWAYS: readonly Laws[] = [devices, onePlacement, caps, workConserving];

function awake(world: World, atMs: number = world.nowMs): readonly QueuedJob[] {
  return [...world.waiting.values()].filter(({ notBeforeMs }) => notBeforeMs <= atMs);
}

function mayRun(world: World, job: QueuedJob): boolean {
  const terms = world.tierOf(job.account);
  return world.runningOf(job.account) < terms.accountRunningMax && runningInTier(world, terms) < terms.tierRunningMax;
}

function runningInTier(world: World, { tier }: TierTerms): number {
  return [...world.running.values()].filter(({ place }) => world.tierOf(place.job.account).tier === tier).length;
}

function heldDevices(world: World): ReadonlySet<string> {
  return new Set([...world.running.values()].flatMap(({ place }: { readonly place: Place }) => place.devices));
}

function sameLine(a: QueuedJob, b: QueuedJob): boolean {
  return a.account === b.account && a.class === b.class && a.weights === b.weights;
}
