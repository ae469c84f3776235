/**
 * Which runners the scheduler may use: those that are connected and that the operator has not drained.
 *
 * A runner that is not, keeps the devices its jobs hold; it only gets no new work.
 */
import type { RunnerTerms, SchedulerEvent } from "#control-plane/core/scheduler/event.ts";

export class RunnerRoster {
  readonly #tell: (event: SchedulerEvent) => void;
  readonly #known = new Map<string, RunnerTerms>();
  readonly #connected = new Set<string>();
  #drained: ReadonlySet<string> = new Set();

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
    if (this.#drained.has(runner.id)) this.#tell({ t: "runner_down", runner: runner.id });
  }

  down(id: string): void {
    this.#connected.delete(id);
    this.#tell({ t: "runner_down", runner: id });
  }

  /** All that are drained now. */
  drain(ids: readonly string[]): void {
    const before = this.#drained;
    this.#drained = new Set(ids);
    for (const id of this.#connected) {
      const runner = this.#known.get(id);
      if (runner === undefined || before.has(id) === this.#drained.has(id)) continue;
      this.#tell(this.#drained.has(id) ? { t: "runner_down", runner: id } : { t: "runner_up", runner });
    }
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
}
