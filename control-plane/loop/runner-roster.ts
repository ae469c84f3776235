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
    this.#idle = new Set([...this.#resting.drained, ...suspects.slice(0, Math.floor(this.#connected.size / 2))]);
    for (const id of this.#connected) {
      const runner = this.#known.get(id);
      if (runner === undefined || before.has(id) === this.#idle.has(id)) continue;
      this.#tell(this.#idle.has(id) ? { t: "runner_down", runner: id } : { t: "runner_up", runner });
    }
  }
}
