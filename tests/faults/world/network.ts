/**
 * The network as TCP shows it: what is sent on one connection arrives in order and once, or the connection ends. A path that
 * is cut holds everything until it heals; a connection whose one direction is `lost` (half open) swallows it for ever.
 *
 * Two more faults are none of TCP's, only of a bad proxy's: a frame twice, and two frames swapped. A connection that saw
 * one of these is reset soon, because nobody promises to live on over it.
 */
import type { Chance } from "../kernel/chance.ts";
import type { Kernel } from "../kernel/kernel.ts";
import type { Process } from "../kernel/process.ts";

const LATENCY_MS = 0.4;
const CALL_TIMEOUT_MS = 10_000;
const RESET_WITHIN_MS = 15_000;

export interface NetworkFaults {
  /** Added to every message. */
  slowMs: number;
  /** Of frames. */
  duplicated: number;
  swapped: number;
  /** Of frames: from this one on, its direction is lost. */
  halfOpened: number;
  /** Of frames: the connection is reset instead. */
  reset: number;
}

export const NO_NETWORK_FAULTS: NetworkFaults = { slowMs: 0, duplicated: 0, swapped: 0, halfOpened: 0, reset: 0 };

/** One direction of one connection. */
export interface Wire {
  readonly from: Process;
  readonly to: Process;
  lastMs: number;
  lost: boolean;
}

export class UnknownOutcome extends Error {
  override readonly name = "UnknownOutcome";
}

export class Network {
  faults: NetworkFaults = { ...NO_NETWORK_FAULTS };
  readonly #kernel: Kernel;
  readonly #chance: Chance;
  readonly #cuts = new Set<string>();
  #held: { readonly wire: Wire; readonly label: string; readonly act: () => void }[] = [];

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    this.#chance = kernel.chance.fork("network");
  }

  /** One way; names of processes without their incarnation. */
  cut(from: string, to: string): void {
    this.#cuts.add(`${from}>${to}`);
  }

  healAll(): void {
    this.#cuts.clear();
    const held = this.#held;
    this.#held = [];
    for (const { wire, label, act } of held) this.carry(wire, label, act);
  }

  isCut(from: Process, to: Process): boolean {
    return this.#cuts.has(`${from.name}>${to.name}`);
  }

  wire(from: Process, to: Process): Wire {
    return { from, to, lastMs: 0, lost: false };
  }

  /** Runs `act` in the receiving process. */
  carry(wire: Wire, label: string, act: () => void): void {
    if (wire.lost) return;
    if (this.isCut(wire.from, wire.to)) {
      this.#held.push({ wire, label, act });
      return;
    }
    const atMs = Math.max(wire.lastMs, this.#kernel.nowMs + this.#latencyMs());
    wire.lastMs = atMs;
    this.#kernel.after(atMs - this.#kernel.nowMs, wire.to, label, () => {
      if (!wire.lost) act();
    });
  }

  /** A frame of a WebSocket: as `carry`, with the faults that only those get. `reset` ends the connection. */
  carryFrame(wire: Wire, label: string, act: () => void, reset: () => void): void {
    const { duplicated, swapped, halfOpened, reset: resets } = this.faults;
    if (this.#chance.happens(halfOpened)) wire.lost = true;
    if (this.#chance.happens(resets)) {
      this.#kernel.after(0, null, "reset", reset);
      return;
    }
    const isDoubled = this.#chance.happens(duplicated);
    const isSwapped = this.#chance.happens(swapped);
    const resetMs = this.#chance.between(1, RESET_WITHIN_MS);
    if (isDoubled || isSwapped) this.#kernel.after(resetMs, null, "reset", reset);
    if (isSwapped) {
      // It comes later, behind what was sent after it.
      this.#kernel.after(this.#chance.between(0, 50), wire.to, `${label} late`, act);
      return;
    }
    this.carry(wire, label, act);
    if (!isDoubled) return;
    // At once, or when nobody thinks of it any more.
    const laterMs = this.#chance.happens(0.4) ? 0 : resetMs * this.#chance.unit();
    this.#kernel.after(laterMs, wire.to, `${label} twice`, act);
  }

  /**
   * A request and its answer. Rejects with `UnknownOutcome` if the answer did not come: it may have been done or not.
   * `serve` runs in `to`; the answer comes in `from`.
   */
  call<Answer>(from: Process, to: Process, label: string, serve: () => Promise<Answer>): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const there = this.wire(from, to);
    const back = this.wire(to, from);
    const hungUp = () => this.#kernel.after(LATENCY_MS, from, `${label} hung up`, () => lost("hung up"));
    const lost = (why: string) => {
      to.onDeath.delete(hungUp);
      reject(new UnknownOutcome(`${label}: ${why}`));
    };
    if (!to.alive) {
      this.#kernel.after(LATENCY_MS, from, `${label} refused`, () => lost("refused"));
      return promise;
    }
    const cancel = this.#kernel.after(CALL_TIMEOUT_MS, from, `${label} timed out`, () => lost("timed out"));
    to.onDeath.add(hungUp);
    this.carry(there, label, () => {
      serve().then(
        (answer) =>
          this.carry(back, `${label} answered`, () => {
            cancel();
            to.onDeath.delete(hungUp);
            resolve(answer);
          }),
        (error: unknown) =>
          this.carry(back, `${label} failed`, () => {
            cancel();
            lost(String(error));
          }),
      );
    });
    return promise;
  }

  #latencyMs(): number {
    return (
      this.#chance.latency(LATENCY_MS) + (this.faults.slowMs === 0 ? 0 : this.#chance.between(0, this.faults.slowMs))
    );
  }
}
