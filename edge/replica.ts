/**
 * One replica of the control plane, as this isolate knows it: its breaker, and what it sheds of each lane. Nothing of it is
 * kept or shared: each isolate learns for itself, within a few calls.
 */
import type { Lane } from "#protocol/lane.ts";
import { ask, type Breaker, CLOSED, heard, type Outcome, type Verdict } from "./core/breaker.ts";
import { counted, sheds, type Throttle, UNTHROTTLED } from "./core/throttle.ts";
import { logChange } from "./log.ts";

export class Replica {
  readonly origin: string;
  #breaker: Breaker = CLOSED;
  readonly #throttles = new Map<Lane, Throttle>();

  constructor(origin: string) {
    this.origin = origin;
  }

  /** May a call go there now? `call` and `probe` count as gone. */
  ask(nowMs: number): Verdict {
    const { verdict, breaker } = ask(this.#breaker, nowMs);
    this.#become(breaker);
    return verdict;
  }

  /** Whether it would shed the call anyway, as far as one can know; if so that is counted. */
  sheds(lane: Lane, nowMs: number, chance: number): boolean {
    const throttle = this.#throttles.get(lane) ?? UNTHROTTLED;
    if (!sheds(throttle, nowMs, chance)) return false;
    this.#throttles.set(lane, counted(throttle, false, nowMs));
    return true;
  }

  heard(lane: Lane, outcome: Outcome, shed: boolean, nowMs: number): void {
    this.#throttles.set(lane, counted(this.#throttles.get(lane) ?? UNTHROTTLED, !shed, nowMs));
    this.#become(heard(this.#breaker, outcome, nowMs));
  }

  #become(breaker: Breaker): void {
    const before = this.#breaker.state;
    this.#breaker = breaker;
    if (breaker.state === before) return;
    logChange("A control plane's breaker changed", { control_plane: this.origin, from: before, to: breaker.state });
  }
}

type Choice =
  | { readonly kind: "call"; readonly replica: Replica; readonly index: number }
  /** All are doubted: what the probes find decides. */
  | { readonly kind: "wait" }
  /** Nobody is there, or has room. */
  | { readonly kind: "refuse" }
  | { readonly kind: "shed" };

/** The replica to call next, from the `first` on. */
export function choose(
  replicas: readonly Replica[],
  first: number,
  lane: Lane,
  clock: { readonly nowMs: number; readonly chance: number },
): Choice {
  let kind: "wait" | "refuse" | "shed" = "refuse";
  for (let turn = 0; turn < replicas.length; turn++) {
    const index = (first + turn) % replicas.length;
    const replica = replicas[index];
    if (replica === undefined) continue;
    if (replica.sheds(lane, clock.nowMs, clock.chance)) {
      kind = "shed";
      continue;
    }
    const verdict = replica.ask(clock.nowMs);
    if (verdict === "call" || verdict === "probe") return { kind: "call", replica, index };
    if (verdict === "wait" && kind === "refuse") kind = "wait";
  }
  return { kind };
}
