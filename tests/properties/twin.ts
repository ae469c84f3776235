/** Two schedulers under one history; the world follows the first, and what the second would have done is compared. */
import type { Decision, SchedulerEvent } from "#control-plane/core/scheduler/event.ts";
import { demand } from "./laws.ts";
import type { Leader } from "./world.ts";

export class Twin implements Leader {
  readonly #first: Leader;
  readonly #second: Leader;
  compared = 0;

  constructor(first: Leader, second: Leader) {
    this.#first = first;
    this.#second = second;
  }

  get reservations(): Leader["reservations"] {
    return this.#first.reservations;
  }

  apply(event: SchedulerEvent, nowMs: number): void {
    this.#first.apply(event, nowMs);
    this.#second.apply(event, nowMs);
  }

  decide(nowMs: number, limit: number): readonly Decision[] {
    const decisions = this.#first.decide(nowMs, limit);
    const others = this.#second.decide(nowMs, limit);
    const said = (all: readonly Decision[]) => all.map((one) => `${one.t} ${place(one)}`).join("; ");
    demand(said(decisions) === said(others), `I12: the old leader: ${said(decisions)} — the new one: ${said(others)}`);
    this.compared += decisions.length;
    return decisions;
  }

  nextWakeMs(): number | null {
    return this.#first.nextWakeMs();
  }

  clock(accounts: readonly string[]): ReturnType<Leader["clock"]> {
    return this.#first.clock(accounts);
  }
}

function place(decision: Decision): string {
  return decision.t === "place"
    ? `${decision.job.id} ${decision.runner} ${decision.devices.join()}`
    : `${decision.job} for ${decision.for}`;
}
