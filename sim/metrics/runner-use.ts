/** What is taken of one runner, followed along the log, and what waiting jobs could still take in their narrowest gangs. */
import type { AttemptEnd, LogConfig, LogRecord } from "../log-record.ts";

type Placed = Extract<LogRecord, { event: "placed" }>;

interface Fit {
  readonly jobClass: string;
  readonly jobs: number;
  /** What they take; of a device with slots, their part. */
  readonly devices: number;
}

/** What is left of a device with slots. */
interface Rest {
  slots: number;
  gb: number;
}

export class RunnerUse {
  up = true;
  readonly #config: LogConfig;
  readonly #vramGb: number;
  readonly #slots: number;
  /** Devices that nobody holds; kept where devices have one slot. */
  #free: number;
  /** Kept where they have several. */
  readonly #rest: ReadonlyMap<string, Rest>;
  /** Jobs of each batch that runs here: it takes its devices once. */
  readonly #batches = new Map<string, number>();

  constructor(runner: LogConfig["runners"][number], config: LogConfig) {
    this.#config = config;
    this.#vramGb = runner.vram_gb;
    this.#slots = runner.slots ?? 1;
    this.#free = runner.devices.length;
    this.#rest = new Map(
      this.#slots === 1 ? [] : runner.devices.map((id) => [id, { slots: this.#slots, gb: runner.vram_gb }]),
    );
  }

  /** Takes what the job holds; answers how many devices that makes busy. */
  take(record: Placed): number {
    const jobs = record.batch === undefined ? 1 : (this.#batches.get(record.batch) ?? 0) + 1;
    if (record.batch !== undefined) this.#batches.set(record.batch, jobs);
    return this.#hold(record, 1, jobs === 1);
  }

  /** Gives it back; answers how many devices that makes idle. */
  leave(record: AttemptEnd): number {
    const jobs = record.batch === undefined ? 0 : (this.#batches.get(record.batch) ?? 0) - 1;
    if (record.batch !== undefined) this.#batches.set(record.batch, jobs);
    return -this.#hold(record, -1, jobs === 0);
  }

  couldTake(waiting: ReadonlyMap<string, number>): readonly Fit[] {
    const rest = [...this.#rest.values()].map((device) => ({ ...device }));
    let free = this.#slots === 1 ? this.#free : rest.reduce((sum, { slots }) => sum + slots, 0);
    const fits: Fit[] = [];
    for (const [jobClass, count] of waiting) {
      if (free === 0) break;
      const shapes = (this.#config.classes[jobClass] ?? []).filter(({ vram_gb: gb }) => gb <= this.#vramGb);
      const k = Math.min(...shapes.map((shape) => shape.k));
      const gb = shapes.find((shape) => shape.k === k)?.vram_gb ?? 0;
      if (!Number.isFinite(k)) continue;
      const jobs = this.#slots === 1 ? Math.min(count, Math.floor(free / k)) : this.#seat(rest, k, gb, count);
      if (jobs === 0) continue;
      const used = this.#slots > 1 && k === 1 ? jobs / this.#slots : jobs * k;
      free -= used * this.#slots;
      fits.push({ jobClass, jobs, devices: used });
    }
    return fits;
  }

  #hold({ devices, slot, class: jobClass, k }: Placed | AttemptEnd, sign: 1 | -1, isFirst: boolean): number {
    const shared = slot !== undefined;
    const gb = (this.#config.classes[jobClass] ?? []).find((shape) => shape.k === k)?.vram_gb ?? 0;
    for (const id of devices) {
      const rest = this.#rest.get(id);
      if (rest === undefined) continue;
      rest.gb -= sign * gb;
      if (isFirst) rest.slots -= sign * (shared ? 1 : this.#slots);
    }
    if (!isFirst) return 0;
    if (!shared) this.#free -= sign * devices.length;
    return sign * (shared ? 1 / this.#slots : devices.length);
  }

  /** Puts up to `count` jobs on what is left; answers how many. */
  #seat(rest: readonly Rest[], k: number, gb: number, count: number): number {
    const whole = rest.filter(({ slots, gb: left }) => slots === this.#slots && gb <= left);
    if (k > 1) {
      const jobs = Math.min(count, Math.floor(whole.length / k));
      for (const device of whole.slice(0, jobs * k)) device.slots = 0;
      return jobs;
    }
    let jobs = 0;
    for (const device of rest) {
      const here = Math.min(count - jobs, device.slots, Math.floor(device.gb / Math.max(gb, 1e-9) + 1e-9));
      if (here <= 0) continue;
      device.slots -= here;
      device.gb -= here * gb;
      jobs += here;
    }
    return jobs;
  }
}
