/** A running part of the product, as the supervisor sees it, and how the Node programs among them are started. */
import { fork, type ChildProcess } from "node:child_process";
import { z } from "zod";
import type { LogFile } from "./log-file.ts";

export interface Child {
  readonly pid: number;
  /** Resolves when it serves; rejects when it ended or took too long instead. */
  readonly ready: Promise<void>;
  /** Resolves with a few words when the process is gone, for whatever reason. */
  readonly exited: Promise<string>;
  /** Asks it to end, insists after a deadline; resolves when it is gone. */
  stop(): Promise<void>;
  kill(): void;
}

const READY_MS = 30_000;
const STOP_MS = 10_000;
const Ready = z.looseObject({ ready: z.literal(true) });

export interface NodeProgram {
  readonly program: string;
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  readonly log: LogFile;
  /** How long it may take to serve. */
  readonly readyMs?: number;
}

/**
 * Forks a program in a process group of its own (a terminal's Ctrl-C reaches only the supervisor, which stops the parts
 * in order). It sends `{ ready: true }` when it serves, ends in order on SIGTERM, and leaves when its channel closes.
 */
export function forkNode(node: NodeProgram): Child {
  const child = fork(node.program, [], {
    cwd: node.cwd,
    env: node.env,
    detached: true,
    execArgv: ["--enable-source-maps", "--disable-warning=ExperimentalWarning"],
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  if (child.stdout !== null) node.log.follow(child.stdout, false);
  if (child.stderr !== null) node.log.follow(child.stderr, true);
  const ready = Promise.withResolvers<void>();
  child.on("message", (message) => {
    if (Ready.safeParse(message).success) ready.resolve();
  });
  return asChild(child, ready, STOP_MS, node.readyMs);
}

/** The rest of a `Child` around a process whose owner settles `ready`. */
export function asChild(
  process_: ChildProcess,
  ready: PromiseWithResolvers<void>,
  stopMs: number,
  readyMs = READY_MS,
): Child {
  const exited = Promise.withResolvers<string>();
  process_.once("error", (error) => exited.resolve(error.message));
  process_.once("exit", (code, signal) => exited.resolve(signal ?? `code ${code}`));
  const late = setTimeout(() => ready.reject(new Error(`not ready after ${readyMs / 1000} s`)), readyMs);
  void exited.promise.then((why) => ready.reject(new Error(`ended before it was ready (${why})`)));
  // `ready` is awaited by whoever started the child; a later end must not count as unhandled.
  ready.promise.catch(() => undefined).finally(() => clearTimeout(late));
  return {
    pid: process_.pid ?? 0,
    ready: ready.promise,
    exited: exited.promise,
    kill: () => process_.kill("SIGKILL"),
    stop: async () => {
      process_.kill("SIGTERM");
      const timer = setTimeout(() => process_.kill("SIGKILL"), stopMs);
      await exited.promise;
      clearTimeout(timer);
    },
  };
}
