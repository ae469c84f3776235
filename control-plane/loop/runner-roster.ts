/**
 * Which runners the scheduler may use: those that are connected, that the operator has not drained, and that are not in
 * quarantine. At most half of the connected ones are: if everything fails, runners are not what is broken.
 *
 * A runner that is not used keeps the devices its jobs hold; it only gets no new work.
 */
import type { RunnerTerms, SchedulerEvent } from "#control-plane/core/scheduler/event.ts";

export interface Resting {
  readonly drained: readonly string[];
  /** Those to blame first. */
  readonly quarantined: readonly string[];
}

export class RunnerRoster {
  readonly #tell: (event: SchedulerEvent) => void;
  readonly #known = new Map<string, RunnerTerms>();
  readonly #connected = new Set<string>();
  /** Those of the connected that the scheduler was told not to use. */
  #idle: ReadonlySet<string> = new Set();
  #resting: Resting = { drained: [], quarantined: [] };
  /** Kept empty for a job that is to run alone. */
  #kept: string | null = null;

  constructor(tell: (event: SchedulerEvent) => void) {
    this.#tell = tell;
  }

  /** A runner of an earlier leader: its devices are known, for the jobs that hold them; it takes work once it dials. */
  remember(runner: RunnerTerms): void {
    this.#known.set(runner.id, runner);
    this.#tell({ t: "runner_up", runner });
    this.#tell({ t: "runner_down", runner: runner.id });
  }

  up(runner: RunnerTerms): void {
    this.#known.set(runner.id, runner);
    this.#connected.add(runner.id);
    this.#tell({ t: "runner_up", runner });
    if (this.#idle.has(runner.id)) this.#tell({ t: "runner_down", runner: runner.id });
    this.#settle();
  }

  down(id: string): void {
    this.#connected.delete(id);
    this.#tell({ t: "runner_down", runner: id });
    this.#settle();
  }

  /** All that are not to be used now. */
  rest(resting: Resting): void {
    this.#resting = resting;
    this.#settle();
  }

  /** No other work for this runner; null: for none. */
  keepFor(runner: string | null): void {
    this.#kept = runner;
    this.#settle();
  }

  connected(id: string): RunnerTerms | null {
    return this.#connected.has(id) ? (this.#known.get(id) ?? null) : null;
  }

  /** Connected runners with the hardware of this one, which need not be connected itself. */
  alike(id: string | null): readonly RunnerTerms[] {
    const wanted = hardwareOf(id === null ? undefined : this.#known.get(id));
    return [...this.#connected]
      .flatMap((other) => this.#known.get(other) ?? [])
      .filter((runner) => wanted === null || hardwareOf(runner) === wanted);
  }

  /** Whether jobs can meet on a runner at all. */
  shares(): boolean {
    return [...this.#connected].some((id) => {
      const devices = this.#known.get(id)?.devices ?? [];
      return devices.length > 1 || devices.some(({ slots }) => slots > 1);
    });
  }

  /** The most that one of these devices has. */
  slotsOf(id: string, devices: readonly string[]): number {
    const terms = this.#known.get(id)?.devices.filter((device) => devices.includes(device.id)) ?? [];
    return Math.max(1, ...terms.map(({ slots }) => slots));
  }

  /** As the cost model knows it. */
  gpuOf(id: string): string {
    return this.#known.get(id)?.gpu ?? "none";
  }

  #settle(): void {
    const before = this.#idle;
    const suspects = this.#resting.quarantined.filter((id) => this.#connected.has(id));
    const kept = this.#kept === null ? [] : [this.#kept];
    this.#idle = new Set([
      ...this.#resting.drained,
      ...kept,
      ...suspects.slice(0, Math.floor(this.#connected.size / 2)),
    ]);
    for (const id of this.#connected) {
      const runner = this.#known.get(id);
      if (runner === undefined || before.has(id) === this.#idle.has(id)) continue;
      this.#tell(this.#idle.has(id) ? { t: "runner_down", runner: id } : { t: "runner_up", runner });
    }
  }
}

function hardwareOf(runner: RunnerTerms | undefined): string | null {
  if (runner === undefined) return null;
  return JSON.stringify([runner.gpu, runner.devices.map(({ vramBytes }) => vramBytes)]);
}
