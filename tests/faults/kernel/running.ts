/** The simulation that runs now: what modules stand in for the system's reach through it. There is one at a time. */
import type { Kernel } from "./kernel.ts";
import type { Process } from "./process.ts";
import type { Network } from "../world/network.ts";
import type { SimulatedStore } from "../world/store.ts";

export interface World {
  readonly kernel: Kernel;
  readonly network: Network;
  readonly store: SimulatedStore;
}

let world: World | null = null;

export function setWorld(next: World | null): void {
  world = next;
}

export function theWorld(): World {
  if (world === null) throw new Error("no simulation runs");
  return world;
}

/** Whose code runs now. */
export function thisProcess(): Process {
  const { current } = theWorld().kernel;
  if (current === null) throw new Error("no process runs now");
  return current;
}
