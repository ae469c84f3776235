/**
 * One queue of events under virtual time: the next event, then everything that follows from it at once (microtasks), then
 * the checks, then the next. Nothing else moves, so one seed has one history.
 *
 * An event belongs to a process or to the world (network, database, store). A process that died gets no more events; one
 * that is stopped gets them, late, when it goes on.
 */
import { MinHeap } from "#sim/min-heap.ts";
import { Chance } from "./chance.ts";
import { LogHash } from "./log-hash.ts";
import type { Process } from "./process.ts";

/** The last events, kept to be shown when something breaks. */
const TRACE_MAX = 400;
/** Taken before the guard forbids it to everybody else. */
const turnOfTheLoop = setImmediate;

export interface Scheduled {
  cancelled: boolean;
  readonly process: Process | null;
  readonly label: string;
  readonly act: () => void;
}

/** A promise of the product was broken. */
export class Violation extends Error {
  override readonly name = "Violation";
}

export class Kernel {
  nowMs = 0;
  events = 0;
  /** Whose event is handled now. */
  current: Process | null = null;
  /** Runs after each event, once nothing is left to follow from it. */
  check: () => void = () => undefined;
  readonly chance: Chance;
  readonly log = new LogHash();
  readonly trace: string[] = [];
  readonly #heap = new MinHeap<Scheduled>();
  #processes = 0;
  #violation: Error | null = null;

  constructor(seed: number) {
    this.chance = new Chance(seed);
  }

  /** `act` after `delayMs`; the answer cancels it. */
  after(delayMs: number, process: Process | null, label: string, act: () => void): () => void {
    const scheduled: Scheduled = { cancelled: false, process, label, act };
    this.#heap.push(this.nowMs + Math.max(0, delayMs), scheduled);
    return () => {
      scheduled.cancelled = true;
    };
  }

  nextProcess(): number {
    return ++this.#processes;
  }

  note(text: string): void {
    this.log.add(text);
    this.trace.push(`${this.nowMs.toFixed(2).padStart(12)} ${this.current?.name.padEnd(10) ?? "-".padEnd(10)} ${text}`);
    if (this.trace.length > 2 * TRACE_MAX) this.trace.splice(0, TRACE_MAX);
  }

  /** Remembered and thrown after the event: product code may catch what is thrown inside it. */
  violate(text: string): void {
    this.#violation ??= new Violation(text);
  }

  fail(error: Error): void {
    this.#violation ??= error;
  }

  /** Runs until the time, or until nothing is left; stops at the first violation. */
  async run(untilMs: number, until: () => boolean = () => false): Promise<void> {
    for (;;) {
      const next = this.#heap.peek();
      if (next === null || next.key > untilMs) break;
      this.#heap.pop();
      if (next.value.cancelled) continue;
      this.nowMs = next.key;
      const { process } = next.value;
      if (process !== null && !process.alive) continue;
      if (process?.stopped === true) {
        process.backlog.push(next.value);
        continue;
      }
      await this.handle(next.value);
      if (until()) return;
    }
    this.nowMs = Math.max(this.nowMs, untilMs);
  }

  async handle({ process, label, act }: Scheduled): Promise<void> {
    this.events++;
    this.current = process;
    this.note(label);
    act();
    await new Promise<void>((resolve) => turnOfTheLoop(resolve));
    this.current = null;
    this.check();
    if (this.#violation !== null) throw this.#violation;
  }
}
