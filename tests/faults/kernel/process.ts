/** A simulated operating-system process: running, stopped (SIGSTOP) or dead. Its clocks are its own. */
import type { Clock } from "#control-plane/core/clock.ts";
import type { Kernel, Scheduled } from "./kernel.ts";

/** 2026-01-01: what the wall clocks show when a simulation begins. */
export const EPOCH_MS = 1_767_225_600_000;

export class Process {
  alive = true;
  stopped = false;
  resumedAtMs = -Infinity;
  /** What came while it was stopped, in order. */
  readonly backlog: Scheduled[] = [];
  /** Of its host: a process that takes its place has the same. */
  readonly name: string;
  /** Its own. */
  readonly label: string;
  readonly clock: Clock;
  /** Run when it dies: what the kernel of its host tells its peers. */
  readonly onDeath = new Set<() => void>();
  readonly #kernel: Kernel;
  /** How far its wall clock is off; the monotonic one cannot be. */
  skewMs: number;

  constructor(kernel: Kernel, name: string, skewMs: number) {
    this.#kernel = kernel;
    this.name = name;
    this.label = `${name}#${kernel.nextProcess()}`;
    this.skewMs = skewMs;
    this.clock = {
      nowMs: () => this.wallMs(),
      monotonicMs: () => kernel.nowMs,
      after: (delayMs, act) => kernel.after(delayMs, this, "timer", act),
    };
  }

  /** As people read it: whole milliseconds, and wrong by the skew. */
  wallMs(): number {
    return Math.floor(EPOCH_MS + this.#kernel.nowMs + this.skewMs);
  }

  /** `silently`: the host lost its power, and nobody is told. */
  kill(silently = false): void {
    if (!this.alive) return;
    this.alive = false;
    this.backlog.length = 0;
    if (!silently) for (const act of this.onDeath) act();
  }

  /** SIGSTOP: timers and messages wait. */
  stop(): void {
    this.stopped = true;
  }

  /** SIGCONT: what waited comes at once, in order, one event each. */
  resume(): void {
    if (!this.stopped) return;
    this.stopped = false;
    this.resumedAtMs = this.#kernel.nowMs;
    for (const { label, act, process } of this.backlog.splice(0)) {
      this.#kernel.after(0, process, label, act);
    }
  }
}
