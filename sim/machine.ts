/**
 * The simulated hardware: which device holds which jobs and which weights. It believes nobody: a placement on a device that
 * is taken, missing or too small is a bug of the policy and ends the run. Resident are the weights of the jobs that run and
 * of the one that began last.
 */
import { BYTES_PER_GB } from "#control-plane/core/scheduler/cost-gpu.ts";
import type { Place, RunnerTerms } from "#control-plane/core/scheduler/event.ts";
import type { JobClass } from "#control-plane/core/scheduler/job-class.ts";
import { invariant } from "#protocol/invariant.ts";
import type { SimRunner } from "./cluster-file.ts";

type Holder = Pick<Place, "slot" | "batch" | "vramBytes"> & { readonly weights: string };

interface Device {
  readonly vramBytes: number;
  readonly slots: number;
  readonly holders: Map<string, Holder>;
  /** Of the job that began last. */
  weights: string | null;
}

export interface MachineRunner {
  readonly terms: RunnerTerms;
  readonly mtbfHours: number | null;
  readonly devices: ReadonlyMap<string, Device>;
  /** False from the failure on, also while nobody has noticed it. */
  alive: boolean;
}

export class Machine {
  readonly runners: ReadonlyMap<string, MachineRunner>;

  constructor(runners: readonly SimRunner[]) {
    this.runners = new Map(runners.map((runner) => [runner.id, machineRunner(runner)]));
  }

  runner(id: string): MachineRunner {
    const runner = this.runners.get(id);
    invariant(runner !== undefined, `runner ${id} is part of the cluster`);
    return runner;
  }

  /** Whether any runner, alive or not, is made for the class. */
  holds(jobClass: JobClass, fits: (gpu: string, k: number) => boolean): boolean {
    return [...this.runners.values()].some(({ terms, devices }) =>
      jobClass.shapes.some(
        ({ k, vramBytes }) =>
          [...devices.values()].filter((device) => vramBytes <= device.vramBytes).length >= k && fits(terms.gpu, k),
      ),
    );
  }

  /** Takes the devices or the slot; true if weights must be loaded first. */
  occupy(place: Place, jobClass: JobClass): boolean {
    const runner = this.runner(place.runner);
    const shape = jobClass.shapes.find(({ k }) => k === place.k);
    invariant(shape !== undefined && place.devices.length === place.k, "a placement takes a gang its class has");
    const holder = { ...place, vramBytes: shape.vramBytes, weights: place.job.weights };
    let cold = false;
    for (const id of place.devices) {
      const device = runner.devices.get(id);
      invariant(device !== undefined && mayJoin(device, holder), `device ${id} of ${place.runner} is free`);
      cold ||=
        device.weights !== holder.weights &&
        [...device.holders.values()].every((other) => other.weights !== holder.weights);
      device.holders.set(place.job.id, holder);
      device.weights = holder.weights;
    }
    return cold;
  }

  vacate(runnerId: string, devices: readonly string[], job: string): void {
    const runner = this.runner(runnerId);
    for (const id of devices) runner.devices.get(id)?.holders.delete(job);
  }

  /** Nothing is resident after a restart. */
  restart(runnerId: string): void {
    const runner = this.runner(runnerId);
    runner.alive = true;
    for (const device of runner.devices.values()) device.weights = null;
  }
}

/** Memory for all of them, and the slot, or the whole device, for nobody but one batch. */
function mayJoin(device: Device, holder: Holder): boolean {
  const others = [...device.holders.values()];
  const bytes = others.reduce((sum, { vramBytes }) => sum + vramBytes, holder.vramBytes);
  const inSlot = holder.slot === null || holder.slot < device.slots;
  const rivals = others.filter(
    ({ slot, batch }) => holder.batch === null || batch !== holder.batch || slot !== holder.slot,
  );
  const apart = rivals.every(({ slot }) => holder.slot !== null && slot !== null && slot !== holder.slot);
  return bytes <= device.vramBytes && inSlot && apart;
}

function machineRunner(runner: SimRunner): MachineRunner {
  const vramBytes = Math.floor(runner.vram_gb * BYTES_PER_GB);
  const { slots } = runner;
  const ids = Array.from({ length: runner.devices }, (_, index) => `${runner.id}.${String(index).padStart(2, "0")}`);
  return {
    terms: { id: runner.id, gpu: runner.gpu, devices: ids.map((id) => ({ id, vramBytes, slots })) },
    mtbfHours: runner.mtbf_h,
    devices: new Map(ids.map((id) => [id, { vramBytes, slots, holders: new Map(), weights: null }])),
    alive: true,
  };
}
