/**
 * Rules of a runner's sockets: each side believes one at a time. A replica says nothing over a socket once it welcomed the same
 * runner over another, a runner nothing over one once it was welcomed over another, and nobody is welcomed all the time.
 */
import type { Kernel } from "../kernel/kernel.ts";
import type { Process } from "../kernel/process.ts";
import type { FrameWatch, WebSocket } from "../system/ws.ts";

/** Two that throw each other out, or a runner that throws itself out, would be welcomed more often than any fault explains. */
const WELCOMES_MAX = 30;
const WITHIN_MS = 10_000;

export class SocketWatch implements FrameWatch {
  readonly #kernel: Kernel;
  /** By replica and runner process: over which socket the replica welcomed it last. */
  readonly #welcomed = new Map<string, WebSocket>();
  /** By runner process: over which socket it heard its last welcome. */
  readonly #heard = new Map<string, WebSocket>();
  readonly #welcomesMs = new Map<string, number[]>();

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  sent(from: Process, to: Process, text: string, over: WebSocket): void {
    if (text.startsWith('{"t":"welcome"')) {
      this.#welcomed.set(`${from.label} ${to.label}`, over);
      return this.#count(to);
    }
    const welcomed = this.#welcomed.get(`${from.label} ${to.label}`);
    if (welcomed !== undefined && welcomed !== over) this.#kernel.violate(said(from, text, "replaced"));
    const heard = this.#heard.get(from.label);
    if (text.startsWith('{"t":"hello"') || heard === undefined || heard === over) return;
    this.#kernel.violate(said(from, text, "left"));
  }

  heard(by: Process, text: string, over: WebSocket): void {
    if (text.startsWith('{"t":"welcome"')) this.#heard.set(by.label, over);
  }

  #count(runner: Process): void {
    const times = this.#welcomesMs.getOrInsertComputed(runner.label, () => []);
    times.push(this.#kernel.nowMs);
    while ((times[0] ?? 0) < this.#kernel.nowMs - WITHIN_MS) times.shift();
    if (times.length > WELCOMES_MAX) {
      this.#kernel.violate(`${runner.label} was welcomed ${times.length} times within ${WITHIN_MS / 1_000} s`);
    }
  }
}

function said(by: Process, text: string, how: string): string {
  return `${by.label} says ${text.slice(0, 90)} over a socket that it ${how}`;
}
