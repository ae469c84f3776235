/** The supervisor's side of the guard process: what must not outlive us. See `guard-process.ts`. */
import { fork, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import type { Child } from "./child.ts";

export const GuardOrder = z.discriminatedUnion("t", [
  z.object({ t: z.literal("watch"), pid: z.int().positive(), signal: z.enum(["SIGINT", "SIGTERM"]) }),
  z.object({ t: z.literal("forget"), pid: z.int().positive() }),
  z.object({ t: z.literal("remove"), folder: z.string().startsWith("/") }),
  z.object({ t: z.literal("keep"), folder: z.string().startsWith("/") }),
]);
type GuardOrder = z.infer<typeof GuardOrder>;

const PROGRAM = fileURLToPath(new URL("./guard-process.ts", import.meta.url));
/** A guard that dies is replaced, but not for ever. */
const REPLACEMENTS_MAX = 100;

export class Guard {
  readonly #standing = new Map<string, GuardOrder>();
  #process: ChildProcess;
  #closed = false;
  #replacements = 0;

  constructor() {
    this.#process = this.#fork();
  }

  /** Ends `pid` with `signal`, and the hard way after a moment, once we are gone. */
  watch(pid: number, signal: "SIGINT" | "SIGTERM"): void {
    this.#order(`pid ${pid}`, { t: "watch", pid, signal });
  }

  /** The same for as long as the child lives. */
  watchChild({ pid, exited }: Pick<Child, "pid" | "exited">, signal: "SIGINT" | "SIGTERM"): void {
    if (pid !== 0) this.watch(pid, signal);
    void exited.then(() => this.forget(pid));
  }

  forget(pid: number): void {
    this.#standing.delete(`pid ${pid}`);
    this.#send({ t: "forget", pid });
  }

  /** Removes `folder` once we are gone, after everything watched has ended. */
  removeAfterwards(folder: string): void {
    this.#order(`folder ${folder}`, { t: "remove", folder });
  }

  keep(folder: string): void {
    this.#standing.delete(`folder ${folder}`);
    this.#send({ t: "keep", folder });
  }

  /** Lets the guard end what is still watched and leave; resolves when it is gone. */
  async close(): Promise<void> {
    this.#closed = true;
    const { promise, resolve } = Promise.withResolvers<void>();
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.once("exit", () => resolve());
    if (this.#process.connected) this.#process.disconnect();
    await promise;
  }

  #order(key: string, order: GuardOrder): void {
    this.#standing.set(key, order);
    this.#send(order);
  }

  #send(order: GuardOrder): void {
    // A send to a guard that just died is made good by its replacement, which gets every standing order.
    if (this.#process.connected) this.#process.send(order, () => undefined);
  }

  #fork(): ChildProcess {
    const child = fork(PROGRAM, [], { detached: true, stdio: ["ignore", "ignore", "inherit", "ipc"], execArgv: [] });
    for (const order of this.#standing.values()) child.send(order, () => undefined);
    child.once("exit", () => {
      if (this.#closed || this.#replacements++ >= REPLACEMENTS_MAX) return;
      this.#process = this.#fork();
    });
    return child;
  }
}
