/**
 * Who runs next, and where: a synchronous reducer over one private, mutable world.
 *
 * `apply(event)` takes facts (from Postgres and the runner hub), `decide(now)` answers with placements and marks them
 * pending; the shell commits them and reports back with `placed` or `refused`, which confirms or undoes. Nothing here
 * reads a clock or does I/O, so production, tests and later the simulator run the same code.
 *
 * Fairness: every account has a virtual start tag in GPU-milliseconds over its tier's weight. The eligible account with
 * the least tag goes first (ties by id), within an account the oldest job. A dispatch charges the estimate; the end of
 * an attempt settles it to the actual time. An account that comes back is lifted to the current virtual time: idling
 * banks no credit.
 */
import type { AccountId, DeviceId, RunnerId, VideoId } from "#protocol/id.ts";
import { invariant } from "#protocol/invariant.ts";

/** Tags are integers: one GPU-millisecond at weight 1 is this many units. */
const TAG_SCALE = 1_000;

export interface WaitingJob {
  readonly id: VideoId;
  readonly account: AccountId;
  readonly model: string;
  readonly class: string;
  readonly gpuMs: number;
  /** Order within the account: creation time, then id. */
  readonly createdAtMs: number;
  readonly notBeforeMs: number;
  /** Its last attempt broke there: taken only if no other runner is free. */
  readonly avoid: RunnerId | null;
}

export interface AccountTerms {
  readonly account: AccountId;
  readonly weight: number;
  readonly maxRunning: number;
}

export interface RunnerDescription {
  readonly runner: RunnerId;
  readonly models: readonly string[];
  readonly devices: readonly DeviceId[];
}

export type SchedulerEvent =
  | { readonly kind: "account"; readonly terms: AccountTerms }
  | { readonly kind: "waiting"; readonly job: WaitingJob }
  /** A job that already holds devices, met at takeover. */
  | {
      readonly kind: "running";
      readonly job: WaitingJob;
      readonly runner: RunnerId;
      readonly devices: readonly DeviceId[];
      readonly sinceMs: number;
    }
  | { readonly kind: "withdrawn"; readonly job: VideoId }
  | { readonly kind: "ended"; readonly job: VideoId; readonly atMs: number }
  | { readonly kind: "runner_up"; readonly runner: RunnerDescription }
  | { readonly kind: "runner_down"; readonly runner: RunnerId }
  | { readonly kind: "placed"; readonly job: VideoId; readonly atMs: number }
  | { readonly kind: "refused"; readonly job: VideoId };

export interface Placement {
  readonly job: WaitingJob;
  readonly runner: RunnerId;
  readonly devices: readonly DeviceId[];
}

export interface Running extends Placement {
  readonly chargedTag: number;
  /** Null while the dispatch is not committed. */
  readonly sinceMs: number | null;
}

interface AccountWorld {
  terms: AccountTerms;
  tag: number;
  readonly waiting: Map<VideoId, WaitingJob>;
  readonly running: Set<VideoId>;
}

/** The scheduler's whole knowledge; only `scheduler.ts` writes it, `explain.ts` reads it. */
export interface World {
  readonly accounts: Map<AccountId, AccountWorld>;
  readonly accountOf: Map<VideoId, AccountId>;
  readonly running: Map<VideoId, Running>;
  readonly runners: Map<RunnerId, RunnerDescription>;
  virtualTime: number;
  /** Observed over estimated GPU time, smoothed; starts at 1. */
  pace: number;
}

const PACE_SMOOTHING = 0.2;

export class Scheduler {
  readonly world: World = {
    accounts: new Map(),
    accountOf: new Map(),
    running: new Map(),
    runners: new Map(),
    virtualTime: 0,
    pace: 1,
  };

  apply(event: SchedulerEvent): void {
    switch (event.kind) {
      case "account":
        this.#account(event.terms.account).terms = event.terms;
        return;
      case "waiting":
        return this.#enqueue(event.job);
      case "running":
        return this.#adopt(event.job, event.runner, event.devices, event.sinceMs);
      case "withdrawn":
        return this.#withdraw(event.job);
      case "ended":
        return this.#end(event.job, event.atMs);
      case "runner_up":
        this.world.runners.set(event.runner.runner, event.runner);
        return;
      case "runner_down":
        this.world.runners.delete(event.runner);
        return;
      case "placed":
        return this.#confirm(event.job, event.atMs);
      case "refused":
        return this.#undo(event.job);
      default:
        return event satisfies never;
    }
  }

  /** Places as many jobs as fit, at most `limit`; each is pending until `placed` or `refused`. */
  decide(nowMs: number, limit: number): readonly Placement[] {
    const placements: Placement[] = [];
    while (placements.length < limit) {
      const placement = this.#next(nowMs);
      if (placement === null) break;
      this.#charge(placement);
      placements.push(placement);
    }
    return placements;
  }

  #next(nowMs: number): Placement | null {
    const free = freeDevices(this.world);
    if (free.length === 0) return null;
    const order = [...this.world.accounts.values()]
      .filter((account) => account.waiting.size > 0 && account.running.size < account.terms.maxRunning)
      .toSorted((a, b) => a.tag - b.tag || compare(a.terms.account, b.terms.account));
    for (const account of order) {
      for (const job of inOrder(account.waiting)) {
        if (job.notBeforeMs > nowMs) continue;
        const fitting = free.filter(({ runner }) => runner.models.includes(job.model));
        const spot = fitting.find(({ runner }) => runner.runner !== job.avoid) ?? fitting[0];
        if (spot !== undefined) return { job, runner: spot.runner.runner, devices: [spot.device] };
      }
    }
    return null;
  }

  #charge(placement: Placement): void {
    const account = this.#account(placement.job.account);
    const charge = tagOf(placement.job.gpuMs, account.terms.weight);
    this.world.virtualTime = Math.max(this.world.virtualTime, account.tag);
    account.tag += charge;
    account.waiting.delete(placement.job.id);
    account.running.add(placement.job.id);
    this.world.running.set(placement.job.id, { ...placement, chargedTag: charge, sinceMs: null });
  }

  #confirm(id: VideoId, atMs: number): void {
    const running = this.world.running.get(id);
    if (running !== undefined) this.world.running.set(id, { ...running, sinceMs: atMs });
  }

  #undo(id: VideoId): void {
    const running = this.world.running.get(id);
    if (running === undefined) return;
    const account = this.#account(running.job.account);
    account.tag -= running.chargedTag;
    this.world.running.delete(id);
    account.running.delete(id);
    this.world.accountOf.delete(id);
  }

  #end(id: VideoId, atMs: number): void {
    const running = this.world.running.get(id);
    if (running === undefined) return this.#withdraw(id);
    const account = this.#account(running.job.account);
    if (running.sinceMs !== null) {
      const actualMs = Math.max(0, atMs - running.sinceMs);
      account.tag += tagOf(actualMs, account.terms.weight) - running.chargedTag;
      if (running.job.gpuMs > 0) {
        this.world.pace += PACE_SMOOTHING * (actualMs / running.job.gpuMs - this.world.pace);
      }
    }
    this.world.running.delete(id);
    account.running.delete(id);
    this.world.accountOf.delete(id);
  }

  #enqueue(job: WaitingJob): void {
    invariant(!this.world.running.has(job.id), "a running job must end before it waits again");
    const account = this.#account(job.account);
    if (account.waiting.size === 0 && account.running.size === 0) {
      account.tag = Math.max(account.tag, this.world.virtualTime);
    }
    account.waiting.set(job.id, job);
    this.world.accountOf.set(job.id, job.account);
  }

  #adopt(job: WaitingJob, runner: RunnerId, devices: readonly DeviceId[], sinceMs: number): void {
    const account = this.#account(job.account);
    account.running.add(job.id);
    this.world.accountOf.set(job.id, job.account);
    this.world.running.set(job.id, { job, runner, devices, chargedTag: 0, sinceMs });
  }

  #withdraw(id: VideoId): void {
    const owner = this.world.accountOf.get(id);
    if (owner === undefined || this.world.running.has(id)) return;
    this.#account(owner).waiting.delete(id);
    this.world.accountOf.delete(id);
  }

  #account(id: AccountId): AccountWorld {
    let account = this.world.accounts.get(id);
    if (account === undefined) {
      account = {
        terms: { account: id, weight: 1, maxRunning: 1 },
        tag: this.world.virtualTime,
        waiting: new Map(),
        running: new Set(),
      };
      this.world.accounts.set(id, account);
    }
    return account;
  }
}

/** What `gpuMs` adds to a tag; rounded up, so that no job is free. */
export function tagOf(gpuMs: number, weight: number): number {
  return Math.ceil((gpuMs * TAG_SCALE) / weight);
}

/** An account's jobs as it would run them: oldest first, ties by id. */
export function inOrder(waiting: ReadonlyMap<VideoId, WaitingJob>): readonly WaitingJob[] {
  return [...waiting.values()].toSorted((a, b) => a.createdAtMs - b.createdAtMs || compare(a.id, b.id));
}

/** Devices of connected runners that no job holds, in a stable order. */
export function freeDevices(
  world: World,
): readonly { readonly runner: RunnerDescription; readonly device: DeviceId }[] {
  const taken = new Set<string>();
  for (const running of world.running.values()) {
    for (const device of running.devices) taken.add(`${running.runner}/${device}`);
  }
  return [...world.runners.values()]
    .toSorted((a, b) => compare(a.runner, b.runner))
    .flatMap((runner) => runner.devices.map((device) => ({ runner, device })))
    .filter(({ runner, device }) => !taken.has(`${runner.runner}/${device}`));
}

export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
