/**
 * The guard: a small process that outlives the supervisor by a moment and ends what cannot notice its death.
 *
 * Node children leave by themselves when their IPC channel closes; PostgreSQL and workerd have no such channel. The guard
 * is told their pids, and when its own channel closes (clean stop or `kill -9` alike) it ends whatever is still watched
 * and removes the temporary folders it was given. Forked by `guard.ts`; never imported.
 */
import { rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { GuardOrder } from "./guard.ts";
import { isAlive, signalQuietly } from "./process-table.ts";

const POLITE_MS = 4_000;
const POLL_MS = 25;

const watched = new Map<number, "SIGINT" | "SIGTERM">();
const folders = new Set<string>();

process.on("message", (message) => {
  const order = GuardOrder.parse(message);
  switch (order.t) {
    case "watch":
      watched.set(order.pid, order.signal);
      break;
    case "forget":
      watched.delete(order.pid);
      break;
    case "remove":
      folders.add(order.folder);
      break;
    case "keep":
      folders.delete(order.folder);
      break;
    default:
      order satisfies never;
  }
});

process.once("disconnect", () => {
  void endAll();
});

async function endAll(): Promise<void> {
  for (const [pid, signal] of watched) signalQuietly(pid, signal);
  const deadline = Date.now() + POLITE_MS;
  while (Date.now() < deadline && [...watched.keys()].some(isAlive)) await sleep(POLL_MS);
  for (const pid of watched.keys()) signalQuietly(pid, "SIGKILL");
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  process.exit(0);
}
