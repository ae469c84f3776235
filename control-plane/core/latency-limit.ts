/**
 * How many calls may be under way at once, learnt from how long they take: the more slowly calls are answered than when few
 * were under way, the fewer are let in (a *gradient*, as TCP Vegas and Netflix' concurrency limits have it).
 *
 * What a call takes without load is learnt for each lane, and only while few calls are under way: a load that lasts for
 * minutes must not become the measure of itself. Latency is then compared as a ratio, so that a mix of quick and slow lanes says nothing.
 *
 * The *pulse* is what the leader's and the runners' own statements meet: a trivial one on their connections. Where it slows down,
 * calls give way, however well they themselves are served.
 */
import type { Lane } from "#protocol/lane.ts";

export const LIMIT_MIN = 4;
const LIMIT_FIRST = 24;
export const LIMIT_MAX = 256;
/** Calls that started beside at most this many others show what a call takes without load. */
const QUIET_CALLS_MAX = 4;
const QUIET_WEIGHT = 0.05;
/** Before anything was learnt; and what no lane is believed to be quicker than: pauses of the process are longer. */
const UNLOADED_MS_FIRST = 25;
const UNLOADED_MS_MIN = 5;
/** Calls may take so many times as long as without load before the limit falls. */
const TOLERANCE = 2;
const RATIO_MAX = 20;
/** The limit changes once a window, and by at most a tenth down. */
const WINDOW_MS = 100;
const WINDOW_CALLS_MIN = 10;
const GRADIENT_MIN = 0.5;
const SMOOTHING = 0.2;
/** The pulse may take so many times as long as without load, and always so long, before calls give way to it. */
const PULSE_TOLERANCE = 3;
const PULSE_MS_MIN = 20;
const PULSE_CUT = 0.8;

export interface EndedCall {
  readonly lane: Lane;
  readonly tookMs: number;
  /** Other calls under way when it began. */
  readonly beside: number;
}

export class LatencyLimit {
  #limit = LIMIT_FIRST;
  readonly #unloadedMs = new Map<Lane, number>();
  #pulseMs: number | null = null;
  #strained = false;
  #windowFromMs = 0;
  #calls = 0;
  #ratios = 0;
  /** Most calls under way within the window. */
  #peak = 0;

  get limit(): number {
    return Math.floor(this.#limit);
  }

  saw(call: EndedCall, nowMs: number): void {
    const unloadedMs = this.#learn(call);
    this.#calls++;
    this.#ratios += Math.min(RATIO_MAX, call.tookMs / Math.max(UNLOADED_MS_MIN, unloadedMs));
    this.#peak = Math.max(this.#peak, call.beside + 1);
    if (nowMs - this.#windowFromMs < WINDOW_MS || this.#calls < WINDOW_CALLS_MIN) return;
    const wanted = next(this.#limit, this.#ratios / this.#calls, this.#peak);
    this.#limit = this.#strained ? Math.min(this.#limit, wanted) : wanted;
    this.#windowFromMs = nowMs;
    this.#calls = 0;
    this.#ratios = 0;
    this.#peak = 0;
  }

  /** A pulse took so long, beside that many calls. */
  felt(pulseMs: number, running: number): void {
    const quiet = running < QUIET_CALLS_MAX;
    if (quiet) this.#pulseMs = this.#pulseMs === null ? pulseMs : mixed(this.#pulseMs, pulseMs);
    this.#strained = !quiet && pulseMs > Math.max(PULSE_MS_MIN, PULSE_TOLERANCE * (this.#pulseMs ?? pulseMs));
    if (this.#strained) this.#limit = Math.max(LIMIT_MIN, this.#limit * PULSE_CUT);
  }

  #learn({ lane, tookMs, beside }: EndedCall): number {
    const known = this.#unloadedMs.get(lane);
    if (beside >= QUIET_CALLS_MAX) return known ?? UNLOADED_MS_FIRST;
    const learnt = known === undefined ? tookMs : mixed(known, tookMs);
    this.#unloadedMs.set(lane, learnt);
    return learnt;
  }
}

function mixed(known: number, seen: number): number {
  return known + QUIET_WEIGHT * (seen - known);
}

function next(limit: number, ratio: number, peak: number): number {
  const gradient = Math.min(1, Math.max(GRADIENT_MIN, TOLERANCE / ratio));
  // Room for a small queue is what lets the limit grow again; unused room teaches nothing.
  const room = peak >= limit / 2 ? Math.sqrt(limit) : 0;
  const wanted = limit * gradient + room;
  return Math.min(LIMIT_MAX, Math.max(LIMIT_MIN, limit + SMOOTHING * (wanted - limit)));
}
