/** The database of the simulation that runs now, for the statement modules. */
import type { PostgresServer } from "./server.ts";
import type { Tables } from "./tables.ts";

let server: PostgresServer | null = null;

export function setServer(next: PostgresServer | null): void {
  server = next;
}

export function tables(): Tables {
  if (server === null) throw new Error("no simulation runs");
  return server.tables;
}

/** 32 hexadecimal digits that sort by creation, as uuidv7. */
export function freshId(): string {
  if (server === null) throw new Error("no simulation runs");
  return server.tables.nextId().toString(16).padStart(12, "0") + server.chance.hex(20);
}
