/**
 * Runners and their devices: what is free, what is warm, when the rest is expected to be free.
 *
 * A gang never leaves its runner. Occupation is by device or by slot; nothing here decides, `placement.ts` does.
 */
import { invariant } from "#protocol/invariant.ts";
import { isFree, newDevice, spare, takesSlot } from "./device.ts";
import type { DeviceState, Tenancy } from "./device.ts";
import type { Place, RunnerTerms } from "./event.ts";
import type { Shape } from "./job-class.ts";

export interface RunnerState {
  terms: RunnerTerms;
  readonly devices: readonly DeviceState[];
  /** Devices that nobody holds. */
  free: number;
  /** Devices that somebody shares, with a slot left. */
  open: number;
  /** Its devices are equally large and not shared: counting them is enough. */
  readonly plain: boolean;
  /** Of its largest device. */
  readonly vramBytes: number;
  /** False: takes no new work. */
  up: boolean;
}

type Occupation = Pick<Place, "job" | "runner" | "devices" | "slot" | "batch" | "vramBytes" | "estimateMs">;

interface Held extends Tenancy {
  readonly runner: RunnerState;
}

export class Cluster {
  /** In id order, so that every scan is the same. */
  #runners: RunnerState[] = [];
  readonly #byId = new Map<string, RunnerState>();
  readonly #heldBy = new Map<string, Held>();
  /** Of runners that came back set up anew while jobs of before still hold some of what they had. */
  readonly #next = new Map<string, RunnerTerms>();
  #deviceCount = 0;

  get runners(): readonly RunnerState[] {
    return this.#runners;
  }

  /** Of the runners that are up. Asked for at every placement, so it is kept. */
  get deviceCount(): number {
    return this.#deviceCount;
  }

  /** Devices that could take a job. */
  get freeCount(): number {
    return this.#runners.reduce((sum, runner) => sum + (runner.up ? runner.free + runner.open : 0), 0);
  }

  /** Resident on devices that are free, at most `limit` of them. */
  idleWeights(limit: number): ReadonlySet<string> {
    const weights = new Set<string>();
    for (const runner of this.#runners) {
      if (!runner.up || runner.free + runner.open === 0) continue;
      for (const device of runner.devices) {
        if (weights.size >= limit) return weights;
        if (device.weights !== null && spare(device).slots > 0) weights.add(device.weights);
      }
    }
    return weights;
  }

  /** Whether the runner has a device or a slot that nobody holds. */
  hasFree(id: string): boolean {
    const runner = this.#byId.get(id);
    return runner !== undefined && runner.free + runner.open > 0;
  }

  runner(id: string): RunnerState | null {
    return this.#byId.get(id) ?? null;
  }

  /** Known again: devices keep what they hold; changed terms replace it once nothing runs there. */
  up(terms: RunnerTerms): void {
    const known = this.#byId.get(terms.id);
    this.#next.delete(terms.id);
    if (known !== undefined && (known.free < known.devices.length || sameDevices(known.terms, terms))) {
      if (!sameDevices(known.terms, terms)) this.#next.set(terms.id, terms);
      known.up = true;
      known.terms = { ...terms, devices: known.terms.devices };
      return this.#countDevices();
    }
    this.#setUp(terms, true);
  }

  #setUp(terms: RunnerTerms, up: boolean): void {
    const devices = terms.devices.map((device) => newDevice(device));
    const vramBytes = Math.max(...devices.map((device) => device.vramBytes));
    const plain = devices.every((device) => device.slots === 1 && device.vramBytes === vramBytes);
    this.#byId.set(terms.id, { terms, devices, free: devices.length, open: 0, plain, vramBytes, up });
    this.#runners = [...this.#byId.values()].toSorted((a, b) => (a.terms.id < b.terms.id ? -1 : 1));
    this.#countDevices();
  }

  down(id: string): void {
    const runner = this.#byId.get(id);
    if (runner === undefined) return;
    runner.up = false;
    // What was resident may be gone when it comes back.
    for (const device of runner.devices) device.weights = null;
    this.#countDevices();
  }

  #countDevices(): void {
    this.#deviceCount = this.#runners.reduce((sum, runner) => sum + (runner.up ? runner.devices.length : 0), 0);
  }

  /** A placement of ours: its devices are known and have room; a later job of a batch joins the first. */
  occupy(place: Occupation, nowMs: number): void {
    const runner = this.#byId.get(place.runner);
    invariant(runner !== undefined, "a placement names a known runner");
    if (place.batch !== null && place.batch !== place.job.id) return this.#join(place, place.batch);
    const devices = runner.devices.filter((device) => place.devices.includes(device.id));
    invariant(
      devices.length === place.devices.length && devices.every((device) => hasPlace(device, place)),
      "a placement takes what is free",
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
    const devices = runner.devices.filter((device) => place.devices.includes(device.id) && hasPlace(device, place));
    this.#hold(place, runner, devices, nowMs);
  }

  #hold(place: Occupation, runner: RunnerState, devices: readonly DeviceState[], nowMs: number): void {
    const held: Held = {
      runner,
      jobs: [place.job.id],
      devices,
      slot: place.slot,
      weights: place.job.weights,
      vramBytes: place.vramBytes,
      freeAtMs: nowMs + place.estimateMs,
    };
    for (const device of devices) {
      count(runner, device, -1);
      device.tenancies.push(held);
      count(runner, device, 1);
      device.weights = place.job.weights;
      device.usedAtMs = nowMs;
    }
    this.#heldBy.set(place.job.id, held);
  }

  #join(place: Occupation, first: string): void {
    const held = this.#heldBy.get(first);
    invariant(held !== undefined, "a batch is joined while its first job holds it");
    held.jobs.push(place.job.id);
    held.vramBytes += place.vramBytes;
    this.#heldBy.set(place.job.id, held);
  }

  /** A better estimate of when the job's devices will be free. */
  expect(job: string, freeAtMs: number): void {
    const held = this.#heldBy.get(job);
    if (held !== undefined) held.freeAtMs = freeAtMs;
  }

  /**
   * What the job held, now free; a batch holds on until its last job leaves. The answer names the runner if its devices are
   * others from now on.
   */
  vacate(job: string): string | null {
    const held = this.#heldBy.get(job);
    if (held === undefined) return null;
    this.#heldBy.delete(job);
    held.jobs.splice(held.jobs.indexOf(job), 1);
    if (held.jobs.length > 0) return null;
    for (const device of held.devices) {
      count(held.runner, device, -1);
      device.tenancies.splice(device.tenancies.indexOf(held), 1);
      count(held.runner, device, 1);
    }
    const { terms, free, devices, up } = held.runner;
    const next = this.#next.get(terms.id);
    if (next === undefined || free < devices.length) return null;
    this.#next.delete(terms.id);
    this.#setUp(next, up);
    return terms.id;
  }
}

/** True if the runner's engine can load the model and it has as many devices of that size as the shape takes. */
export function serves(runner: RunnerState, model: string, { k, vramBytes }: Shape): boolean {
  const { models } = runner.terms;
  if (k > runner.devices.length || vramBytes > runner.vramBytes) return false;
  if (models !== undefined && !models.includes(model)) return false;
  return runner.plain || runner.devices.filter((device) => vramBytes <= device.vramBytes).length >= k;
}

/** Free devices that the shape could take whole; on a device with slots a single-device job takes a slot instead. */
export function freeWhole(runner: RunnerState, { k, vramBytes }: Shape): number {
  if (runner.plain) return vramBytes <= runner.vramBytes ? runner.free : 0;
  return runner.devices.filter((device) => isFree(device) && vramBytes <= device.vramBytes && !takesSlot(device, k))
    .length;
}

function hasPlace(device: DeviceState, { slot }: Occupation): boolean {
  if (slot === null) return isFree(device);
  return slot < device.slots && device.tenancies.every((tenancy) => tenancy.slot !== null && tenancy.slot !== slot);
}

function count(runner: RunnerState, device: DeviceState, by: 1 | -1): void {
  if (isFree(device)) runner.free += by;
  else if (device.slots > 1 && spare(device).slots > 0) runner.open += by;
}

function sameDevices(a: RunnerTerms, b: RunnerTerms): boolean {
  const said = ({ gpu, devices }: RunnerTerms) =>
    JSON.stringify([gpu, devices.map(({ id, vramBytes, slots }) => [id, vramBytes, slots])]);
  return said(a) === said(b);
}
