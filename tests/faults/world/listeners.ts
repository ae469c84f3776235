/** Who answers at which host name. */
import { EventEmitter } from "node:events";
import type { Process } from "../kernel/process.ts";

export interface Listener {
  readonly process: Process;
  /** Emits `upgrade`, as an HTTP server does. */
  readonly server: EventEmitter;
}

const listeners = new Map<string, Listener>();

export function listen(host: string, process: Process): EventEmitter {
  const server = new EventEmitter();
  listeners.set(host, { process, server });
  return server;
}

export function listenerAt(host: string): Listener | null {
  return listeners.get(host) ?? null;
}

export function closeAll(): void {
  listeners.clear();
}
