/**
 * Runners and their devices: what is free, what is warm, when the rest is expected to be free.
 *
 * A gang never leaves its runner. Occupation is by device; nothing here decides, `placement.ts` does.
 */
import { invariant } from "#protocol/invariant.ts";
import type { Place, RunnerTerms } from "./event.ts";

export interface DeviceState {
  readonly id: string;
  /** The job that holds it, or for which it is held. */
  job: string | null;
  /** What is resident; survives the job. */
  weights: string | null;
  /** When it is expected to be free; meaningless while `job` is null. */
  freeAtMs: number;
  /** When a job last began here: the weights that were not used for longest make room first. */
  usedAtMs: number;
}

export interface RunnerState {
  terms: RunnerTerms;
  readonly devices: readonly DeviceState[];
  free: number;
  /** False: takes no new work. */
  up: boolean;
}

type Occupation = Pick<Place, "job" | "runner" | "devices" | "estimateMs">;

export class Cluster {
  /** In id order, so that every scan is the same. */
  #runners: RunnerState[] = [];
  readonly #byId = new Map<string, RunnerState>();
  readonly #heldBy = new Map<string, { readonly runner: RunnerState; readonly devices: readonly DeviceState[] }>();

  get runners(): readonly RunnerState[] {
    return this.#runners;
  }

  get deviceCount(): number {
    return this.#runners.reduce((sum, runner) => sum + (runner.up ? runner.devices.length : 0), 0);
  }

  get freeCount(): number {
    return this.#runners.reduce((sum, runner) => sum + (runner.up ? runner.free : 0), 0);
  }

  runner(id: string): RunnerState | null {
    return this.#byId.get(id) ?? null;
  }

  /** Known again: devices keep what they hold; changed terms replace it once nothing runs there. */
  up(terms: RunnerTerms): void {
    const known = this.#byId.get(terms.id);
    if (known !== undefined && (known.free < known.devices.length || sameDevices(known.terms, terms))) {
      known.up = true;
      known.terms = { ...terms, devices: known.terms.devices };
      return;
    }
    const devices = terms.devices.map((id) => ({ id, job: null, weights: null, freeAtMs: 0, usedAtMs: -1 }));
    const runner: RunnerState = { terms, devices, free: devices.length, up: true };
    this.#byId.set(terms.id, runner);
    this.#runners = [...this.#byId.values()].toSorted((a, b) => (a.terms.id < b.terms.id ? -1 : 1));
  }

  down(id: string): void {
    const runner = this.#byId.get(id);
    if (runner === undefined) return;
    runner.up = false;
    // What was resident may be gone when it comes back.
    for (const device of runner.devices) device.weights = null;
  }

  /** A placement of ours: its devices are known and free. */
  occupy(place: Occupation, nowMs: number): void {
    const runner = this.#byId.get(place.runner);
    invariant(runner !== undefined, "a placement names a known runner");
    const devices = runner.devices.filter((device) => place.devices.includes(device.id));
    invariant(
      devices.length === place.devices.length && devices.every((device) => device.job === null),
      "a placement takes free devices",
    );
    this.#hold(place, runner, devices, nowMs);
  }

  /**
   * A job met at takeover. Its runner may have been set up anew since: devices that are not there any more, or that are
   * somebody else's, are not held. Its lease ends by itself.
   */
  adopt(place: Occupation, nowMs: number): void {
    const runner = this.#byId.get(place.runner);
    if (runner === undefined) return;
    const devices = runner.devices.filter((device) => place.devices.includes(device.id) && device.job === null);
    this.#hold(place, runner, devices, nowMs);
  }

  #hold(place: Occupation, runner: RunnerState, devices: readonly DeviceState[], nowMs: number): void {
    for (const device of devices) {
      device.job = place.job.id;
      device.weights = place.job.weights;
      device.freeAtMs = nowMs + place.estimateMs;
      device.usedAtMs = nowMs;
    }
    runner.free -= devices.length;
    this.#heldBy.set(place.job.id, { runner, devices });
  }

  /** A better estimate of when the job's devices will be free. */
  expect(job: string, freeAtMs: number): void {
    for (const device of this.#heldBy.get(job)?.devices ?? []) device.freeAtMs = freeAtMs;
  }

  /** The devices that the job held, now free. */
  vacate(job: string): void {
    const held = this.#heldBy.get(job);
    if (held === undefined) return;
    for (const device of held.devices) device.job = null;
    held.runner.free += held.devices.length;
    this.#heldBy.delete(job);
  }
}

/** True if the runner's engine can load the model and a device of it is large enough. */
export function serves(runner: RunnerState, model: string, vramBytes: number): boolean {
  const { models } = runner.terms;
  return vramBytes <= runner.terms.vramBytes && (models === undefined || models.includes(model));
}

function sameDevices(a: RunnerTerms, b: RunnerTerms): boolean {
  return a.gpu === b.gpu && a.vramBytes === b.vramBytes && a.devices.join() === b.devices.join();
}
