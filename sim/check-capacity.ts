/**
 * Who holds what, followed along a log: a device is taken whole, or by the slot as far as its memory goes, and only jobs of
 * one batch hold the same. Believes nothing but the log's first line.
 */
import type { AttemptEnd, LogConfig, LogRecord } from "./log-record.ts";

export type Placed = Extract<LogRecord, { event: "placed" }>;

export class CapacityCheck {
  readonly #config: LogConfig;
  readonly #runners: ReadonlyMap<string, LogConfig["runners"][number]>;
  readonly #holders = new Map<string, Set<Placed>>();
  /** By job, from their submits. */
  readonly #weights = new Map<string, string>();

  constructor(config: LogConfig) {
    this.#config = config;
    this.#runners = new Map(config.runners.map((runner) => [runner.id, runner]));
  }

  submitted(job: string, weights: string): void {
    this.#weights.set(job, weights);
  }

  place(record: Placed): readonly string[] {
    const runner = this.#runners.get(record.runner);
    if (runner === undefined) return [`${record.runner} is no runner`];
    const { job, devices, slot, k } = record;
    const faults: string[] = [];
    const gb = this.#gbOf(record);
    if (gb === null || new Set(devices).size !== k) faults.push(`${job} has an odd gang`);
    if (slot !== undefined && (devices.length !== 1 || slot >= (runner.slots ?? 1)))
      faults.push(`${job} has an odd slot`);
    for (const device of devices) {
      if (!runner.devices.includes(device)) faults.push(`${device} is not of ${record.runner}`);
      const holders = this.#holders.getOrInsertComputed(device, () => new Set());
      const usedGb = [...holders].reduce((sum, holder) => sum + (this.#gbOf(holder) ?? 0), gb ?? 0);
      // Both sides are sums of decimal gigabytes: a millionth of one is rounding.
      if (usedGb > runner.vram_gb + 1e-6) faults.push(`${job} does not fit into ${device}`);
      for (const holder of holders) {
        if (this.#together(holder, record)) continue;
        if (slot === undefined || holder.slot === undefined || slot === holder.slot)
          faults.push(`${device} is given to ${job} while ${holder.job} holds it`);
      }
      holders.add(record);
    }
    return [...faults, ...this.#batchFaults(record)];
  }

  leave(run: Placed | AttemptEnd): void {
    for (const device of run.devices) {
      for (const holder of this.#holders.get(device) ?? []) {
        if (holder.job === run.job) this.#holders.get(device)?.delete(holder);
      }
    }
  }

  /** Jobs of one batch hold the same devices, or the same slot. */
  #together(a: Placed, b: Placed): boolean {
    return a.batch !== undefined && a.batch === b.batch && a.slot === b.slot && a.devices.join() === b.devices.join();
  }

  #batchFaults(record: Placed): readonly string[] {
    if (record.batch === undefined) return [];
    const mates = [...(this.#holders.get(record.devices[0] ?? "") ?? [])].filter((mate) => mate.batch === record.batch);
    const max = this.#config.batch_max?.[record.class] ?? 1;
    const weights = this.#weights.get(record.job);
    const alike = mates.every((mate) => mate.class === record.class && this.#weights.get(mate.job) === weights);
    return [
      ...(mates.length > max
        ? [`${record.job} makes a batch of ${mates.length}, at most ${max} may run together`]
        : []),
      ...(alike ? [] : [`${record.job} differs from its batch`]),
    ];
  }

  #gbOf(record: Placed): number | null {
    const shape = (this.#config.classes[record.class] ?? []).find(({ k }) => k === record.k);
    return shape?.vram_gb ?? null;
  }
}
