/**
 * Loopback ports. Those we choose lie below the range from which the system takes ports for outgoing connections, so
 * that a child that was killed finds its port free when it is started again.
 */
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { errorCode } from "./process-table.ts";

const FIRST = 20_000;
const COUNT = 12_000;
const TRIES_MAX = 100;
const POLL_MS = 100;

export async function freePort(): Promise<number> {
  for (let i = 0; i < TRIES_MAX; i++) {
    const port = FIRST + Math.floor(Math.random() * COUNT);
    if (await isFree(port)) return port;
  }
  throw new Error(`No free port found between ${FIRST} and ${FIRST + COUNT}.`);
}

/** `wanted`, or any free port for 0. A clash names the variable; `waitMs` is for an owner that is about to leave. */
export async function claimPort(wanted: number, variable: string, waitMs: number): Promise<number> {
  if (wanted === 0) return await freePort();
  const deadline = Date.now() + waitMs;
  while (!(await isFree(wanted))) {
    if (Date.now() >= deadline) {
      throw new Error(`Port ${wanted} is in use. Set ${variable} to another one (0 takes any free port).`);
    }
    await sleep(POLL_MS);
  }
  return wanted;
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  server.once("error", (error) => {
    if (errorCode(error) === "EADDRINUSE") resolve(false);
    else reject(new Error(`Cannot listen on 127.0.0.1:${port}: ${error.message}`, { cause: error }));
  });
  server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  return await promise;
}
