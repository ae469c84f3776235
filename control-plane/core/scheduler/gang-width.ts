/**
 * How wide the gangs of each runner are: 8 devices when next to nothing waits, one when a lot does.
 *
 * A runner makes gangs of one width only, so that they begin and end in step: were single devices taken as they free, a
 * loaded runner would never have room for a gang again. For each width, the share of runners that are at least as wide
 * falls from all to none as the backlog per device grows; a runner changes as its gangs end, nobody is stopped for it.
 */
import type { Cluster, RunnerState } from "./cluster.ts";
import type { SchedulerLimits } from "./limits.ts";

/** Of a runner: the target must be off by more before one changes, so that widths do not flap. */
const HYSTERESIS = 0.75;
const NARROWEST = 1;

export class GangWidths {
  /** Ascending, each with the backlog per device at which no runner is as wide. */
  #levels: readonly { readonly width: number; readonly backlogMs: number }[] = [];
  readonly #widths = new Map<string, number>();

  constructor(limits: SchedulerLimits) {
    this.setLimits(limits);
  }

  setLimits({ width2BacklogMs, width4BacklogMs, width8BacklogMs }: SchedulerLimits): void {
    this.#levels = [
      { width: 2, backlogMs: width2BacklogMs },
      { width: 4, backlogMs: width4BacklogMs },
      { width: 8, backlogMs: width8BacklogMs },
    ];
  }

  of(runner: RunnerState): number {
    return this.#widths.get(runner.terms.id) ?? this.#widest(runner);
  }

  /** `runnableMs`: fair charge of what could run now if there were devices. */
  adapt(cluster: Cluster, runnableMs: number): void {
    const devices = cluster.deviceCount;
    if (devices === 0) return;
    const up = cluster.runners.filter((runner) => runner.up);
    for (const [at, { width, backlogMs }] of this.#levels.entries()) {
      const able = up.filter((runner) => runner.devices.length >= width);
      const target = able.length * Math.max(0, 1 - runnableMs / devices / backlogMs);
      const narrower = this.#levels[at - 1]?.width ?? NARROWEST;
      let wide = able.filter((runner) => this.of(runner) >= width).length;
      for (; target > wide + HYSTERESIS; wide++) {
        this.#set(this.#freest(able, (has) => has < width), width);
      }
      for (; target < wide - HYSTERESIS; wide--) {
        this.#set(this.#freest(able, (has) => has >= width), narrower);
      }
    }
  }

  #set(runner: RunnerState | null, width: number): void {
    if (runner !== null) this.#widths.set(runner.terms.id, width);
  }

  /** Whose width changes soonest: the most free devices, ties by id. */
  #freest(runners: readonly RunnerState[], where: (width: number) => boolean): RunnerState | null {
    let best: RunnerState | null = null;
    for (const runner of runners) {
      if (where(this.of(runner)) && (best === null || runner.free > best.free)) best = runner;
    }
    return best;
  }

  #widest({ devices }: RunnerState): number {
    return this.#levels.findLast(({ width }) => width <= devices.length)?.width ?? NARROWEST;
  }
}
