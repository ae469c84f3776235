/**
 * Which calls of the edge may begin, which wait a moment, and which are shed.
 *
 * Each lane may use a share of the limit: under load lists find the gate shut first, then events, then reads of videos, creates
 * last. A short line absorbs bursts. It is served in order while it empties now and then; when it has not for a tenth of a
 * second there is more work than can be done, and then the newest is served first and nobody waits for long: of those
 * who wait longest most have given up, and serving them would only make the others late as well.
 *
 * A call that is shed has cost next to nothing: no body was read, no signature checked, no connection taken.
 */
import { LANES } from "#protocol/lane.ts";
import type { Lane } from "#protocol/lane.ts";
import { LatencyLimit } from "./latency-limit.ts";

/** Of the limit, how much calls of this lane may find in use and still begin. */
const SHARE = { list: 0.4, events: 0.6, status: 0.8, submit: 1, key: 1.5 } as const satisfies Record<Lane, number>;
export const WAITING_MAX = 64;
const WAIT_MS_MAX = 100;
const STRESSED_WAIT_MS_MAX = 20;
/** The line is stressed once it has not been empty for so long. */
const STRESSED_AFTER_MS = 100;

export type Admission = "begun" | "waits" | "shed";

export interface Arrival {
  readonly lane: Lane;
  /** Nobody waits for an answer after this. */
  readonly deadlineMs: number;
}

interface Call extends Arrival {
  readonly arrivedMs: number;
}

interface Running {
  readonly lane: Lane;
  readonly beganMs: number;
  readonly beside: number;
}

/** Numbers of calls that waited. */
export interface Moved {
  readonly begun: readonly number[];
  readonly shed: readonly number[];
}

export class LoadGate {
  readonly #limit = new LatencyLimit();
  readonly #running = new Map<number, Running>();
  /** By number, which is the order of arrival. */
  readonly #waiting = new Map<number, Call>();
  /** Since when somebody has always been waiting; null: nobody waits. */
  #lineSinceMs: number | null = null;
  #next = 0;

  get limit(): number {
    return this.#limit.limit;
  }

  get running(): number {
    return this.#running.size;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** A new call gets a number. `moved`: those who had to make room for it. */
  arrive(
    arrival: Arrival,
    nowMs: number,
  ): { readonly call: number; readonly admission: Admission; readonly moved: Moved } {
    const call = this.#next++;
    const none: Moved = { begun: [], shed: [] };
    if (this.#mayBegin(arrival.lane) && !this.#isBehind(arrival.lane)) {
      this.#begin(call, arrival.lane, nowMs);
      return { call, admission: "begun", moved: none };
    }
    const moved = this.#sweep(nowMs);
    if (this.#waiting.size >= WAITING_MAX) {
      const victim = this.#leastOf(arrival.lane);
      if (victim === null) return { call, admission: "shed", moved };
      this.#waiting.delete(victim);
      moved.shed.push(victim);
    }
    this.#waiting.set(call, { ...arrival, arrivedMs: nowMs });
    this.#lineSinceMs ??= nowMs;
    return { call, admission: "waits", moved };
  }

  /** A call that had begun was answered. */
  ended(call: number, nowMs: number): Moved {
    const running = this.#running.get(call);
    if (running === undefined) return { begun: [], shed: [] };
    this.#running.delete(call);
    const { lane, beganMs, beside } = running;
    this.#limit.saw({ lane, tookMs: nowMs - beganMs, beside }, nowMs);
    return this.look(nowMs);
  }

  /** How long a trivial statement of the leader's own took. */
  felt(pulseMs: number): void {
    this.#limit.felt(pulseMs, this.#running.size);
  }

  /** Who waited for this call's answer has hung up. */
  gone(call: number): void {
    this.#waiting.delete(call);
    if (this.#waiting.size === 0) this.#lineSinceMs = null;
  }

  /** To be asked every few milliseconds while somebody waits. */
  look(nowMs: number): Moved {
    const { shed } = this.#sweep(nowMs);
    const begun: number[] = [];
    for (let call = this.#first(nowMs); call !== null; call = this.#first(nowMs)) {
      const { lane } = this.#waiting.get(call) ?? { lane: "list" };
      this.gone(call);
      this.#begin(call, lane, nowMs);
      begun.push(call);
    }
    return { begun, shed };
  }

  #begin(call: number, lane: Lane, nowMs: number): void {
    this.#running.set(call, { lane, beganMs: nowMs, beside: this.#running.size });
  }

  #mayBegin(lane: Lane): boolean {
    return this.#running.size < Math.max(1, Math.floor(this.limit * SHARE[lane]));
  }

  /** Somebody of its lane, or of one that is shed later, waits already. */
  #isBehind(lane: Lane): boolean {
    if (this.#waiting.size === 0) return false;
    const rank = LANES.indexOf(lane);
    return [...this.#waiting.values()].some((other) => LANES.indexOf(other.lane) >= rank);
  }

  /** Of those whose lane has room, one of the lane that is shed last: the oldest, or under stress the newest. */
  #first(nowMs: number): number | null {
    let first: number | null = null;
    let best = -1;
    const newest = this.#stressed(nowMs);
    for (const [call, { lane }] of this.#waiting) {
      const rank = LANES.indexOf(lane);
      if (rank < best || (rank === best && !newest) || !this.#mayBegin(lane)) continue;
      first = call;
      best = rank;
    }
    return first;
  }

  /** Who makes room for a newcomer of this lane: the oldest of the lane that is shed first; null if all are of later ones. */
  #leastOf(lane: Lane): number | null {
    let least: number | null = null;
    let worst = LANES.indexOf(lane) + 1;
    for (const [call, waiting] of this.#waiting) {
      const rank = LANES.indexOf(waiting.lane);
      if (rank >= worst) continue;
      least = call;
      worst = rank;
    }
    return least;
  }

  #sweep(nowMs: number): { readonly begun: number[]; readonly shed: number[] } {
    const waitMsMax = this.#stressed(nowMs) ? STRESSED_WAIT_MS_MAX : WAIT_MS_MAX;
    const shed: number[] = [];
    for (const [call, { arrivedMs, deadlineMs }] of this.#waiting) {
      if (nowMs - arrivedMs < waitMsMax && nowMs < deadlineMs) continue;
      shed.push(call);
      this.gone(call);
    }
    return { begun: [], shed };
  }

  #stressed(nowMs: number): boolean {
    return this.#lineSinceMs !== null && nowMs - this.#lineSinceMs >= STRESSED_AFTER_MS;
  }
}
