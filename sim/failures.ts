/** Runners that break, are noticed when their lease ends, and come back repaired. Off for runners without an MTBF. */
import type { Machine } from "./machine.ts";
import { exponential } from "./noise.ts";

export type Wear =
  | { readonly t: "breaks"; readonly runner: string }
  | { readonly t: "noticed"; readonly runner: string; readonly brokeAtMs: number }
  | { readonly t: "repaired"; readonly runner: string };

interface FailureOptions {
  readonly seed: number;
  readonly leaseMs: number;
  readonly repairMs: number;
}

const HOUR_MS = 3_600_000;

export class Failures {
  readonly #machine: Machine;
  readonly #options: FailureOptions;
  readonly #schedule: (atMs: number, wear: Wear) => void;
  readonly #count = new Map<string, number>();
  #pending = 0;

  constructor(machine: Machine, options: FailureOptions, schedule: (atMs: number, wear: Wear) => void) {
    this.#machine = machine;
    this.#options = options;
    this.#schedule = schedule;
    for (const id of machine.runners.keys()) this.#planNext(id, 0);
  }

  /** Runners that are broken now. */
  get pending(): number {
    return this.#pending;
  }

  breaks(runner: string, nowMs: number): void {
    this.#machine.runner(runner).alive = false;
    this.#pending++;
    const { leaseMs, repairMs } = this.#options;
    this.#schedule(nowMs + leaseMs, { t: "noticed", runner, brokeAtMs: nowMs });
    this.#schedule(nowMs + leaseMs + repairMs, { t: "repaired", runner });
  }

  repaired(runner: string, nowMs: number): void {
    this.#pending--;
    this.#planNext(runner, nowMs);
  }

  #planNext(id: string, nowMs: number): void {
    const { mtbfHours } = this.#machine.runner(id);
    if (mtbfHours === null) return;
    const count = (this.#count.get(id) ?? 0) + 1;
    this.#count.set(id, count);
    const life = exponential(this.#options.seed, `failure ${id} ${count}`, mtbfHours * HOUR_MS);
    this.#schedule(nowMs + Math.ceil(life), { t: "breaks", runner: id });
  }
}
