/** Everybody who takes part, by name: what faults happen to. */
import type { Process } from "../kernel/process.ts";
import type { PostgresServer } from "../postgres/server.ts";
import type { EngineFaults } from "./engine.ts";
import type { Network } from "./network.ts";
import type { Replica } from "./replica.ts";
import type { SimulatedStore } from "./store.ts";

export interface Cast {
  readonly network: Network;
  readonly server: PostgresServer;
  readonly store: SimulatedStore;
  readonly engineFaults: EngineFaults;
  readonly replicaNames: readonly string[];
  readonly runnerNames: readonly string[];
  /** The process of that name, if it lives. */
  replica(name: string): Replica | null;
  runner(name: string): Process | null;
  /** Nothing happens if it lives. */
  startReplica(name: string): void;
  startRunner(name: string): void;
  drainRunner(name: string, withinMs: number): void;
  stepClock(name: string, byMs: number): void;
  /** Runs inside the process, as an event of its own. */
  within(process: Process, label: string, act: () => void): void;
  reviveAll(): void;
}
