/**
 * The simulated hardware: which device holds which job and which weights. It believes nobody: a placement on a device that
 * is taken, missing or too small is a bug of the policy and ends the run.
 */
import { BYTES_PER_GB } from "#control-plane/core/scheduler/cost-gpu.ts";
import type { Place, RunnerTerms } from "#control-plane/core/scheduler/event.ts";
import type { JobClass } from "#control-plane/core/scheduler/job-class.ts";
import { invariant } from "#protocol/invariant.ts";
import type { SimRunner } from "./cluster-file.ts";

interface Device {
  job: string | null;
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
    return [...this.runners.values()].some(({ terms }) =>
      jobClass.shapes.some(
        ({ k, vramBytes }) => k <= terms.devices.length && vramBytes <= terms.vramBytes && fits(terms.gpu, k),
      ),
    );
  }

  /** Takes the devices; true if weights must be loaded first. */
  occupy(place: Place, jobClass: JobClass): boolean {
    const runner = this.runner(place.runner);
    const shape = jobClass.shapes.find(({ k }) => k === place.k);
    invariant(shape !== undefined && place.devices.length === place.k, "a placement takes a gang its class has");
    invariant(shape.vramBytes <= runner.terms.vramBytes, "a placement fits into the device's memory");
    let cold = false;
    for (const id of place.devices) {
      const device = runner.devices.get(id);
      invariant(device !== undefined && device.job === null, `device ${id} of ${place.runner} is free`);
      cold ||= device.weights !== place.job.weights;
      device.job = place.job.id;
      device.weights = place.job.weights;
    }
    return cold;
  }

  vacate(runnerId: string, devices: readonly string[]): void {
    const runner = this.runner(runnerId);
    for (const id of devices) {
      const device = runner.devices.get(id);
      if (device !== undefined) device.job = null;
    }
  }

  /** Nothing is resident after a restart. */
  restart(runnerId: string): void {
    const runner = this.runner(runnerId);
    runner.alive = true;
    for (const device of runner.devices.values()) device.weights = null;
  }
}

function machineRunner(runner: SimRunner): MachineRunner {
  const ids = Array.from({ length: runner.devices }, (_, index) => `${runner.id}.${String(index).padStart(2, "0")}`);
  return {
    terms: { id: runner.id, gpu: runner.gpu, vramBytes: Math.floor(runner.vram_gb * BYTES_PER_GB), devices: ids },
    mtbfHours: runner.mtbf_h,
    devices: new Map(ids.map((id) => [id, { job: null, weights: null }])),
    alive: true,
  };
}
