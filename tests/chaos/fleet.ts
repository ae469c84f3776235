/**
 * The runners under test: real `gpu-runner` processes with the environment that `npm start` gives its own, each in a
 * process group of its own and each behind a wire that can be broken, files included. A killed one is replaced as a host
 * is: by another under a new id, or by itself.
 */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { readConfig } from "#cli/config.ts";
import type { Listener } from "#cli/admin-call.ts";
import { joinTokenFor } from "#cli/runner-tokens.ts";
import { runnerEnv } from "#cli/part-env.ts";
import { signalGroup } from "./processes.ts";
import { TcpProxy, type Wire } from "./tcp-proxy.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const READY_MS = 30_000;
const STOP_MS = 10_000;
const JOIN_TOKEN_PAUSE_MS = 200;

export interface RunnerWish {
  readonly id: string;
  /** Ports it dials instead of the wires to the control planes. */
  readonly dials?: readonly number[];
  readonly env?: Readonly<Record<string, string>>;
  /** For node itself. */
  readonly execArgv?: readonly string[];
}

export class FleetRunner {
  readonly id: string;
  readonly dir: string;
  readonly logPath: string;
  readonly #process: ChildProcess;
  readonly #wires: readonly TcpProxy[];

  constructor(id: string, home: string, process_: ChildProcess, wires: readonly TcpProxy[]) {
    this.id = id;
    this.dir = join(home, "runners", id);
    this.logPath = join(home, "logs", `${id}.log`);
    this.#process = process_;
    this.#wires = wires;
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  get ended(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }

  /** The host: the runner and its engines at once. */
  signal(name: NodeJS.Signals): void {
    signalGroup(this.pid, name);
  }

  /** As a supervisor asks it to go: the runner alone is told, and ends its engines itself. */
  drain(): void {
    this.#process.kill("SIGTERM");
  }

  /** Null while it runs, or if a signal ended it. */
  get exitCode(): number | null {
    return this.#process.exitCode;
  }

  wire(wire: Wire): void {
    for (const proxy of this.#wires) proxy.set(wire);
  }

  /** True while the runner keeps an attempt: its scratch folder goes when it lets go. */
  async holds(job: string, epoch: number): Promise<boolean> {
    return (await readdir(join(this.dir, "attempts")).catch((): string[] => [])).includes(`${job}-${epoch}`);
  }

  async stop(): Promise<void> {
    if (!this.ended) {
      const exit = once(this.#process, "exit");
      this.signal("SIGCONT");
      this.wire("open");
      this.#process.kill("SIGTERM");
      const timer = setTimeout(() => this.signal("SIGKILL"), STOP_MS);
      await exit;
      clearTimeout(timer);
    }
    await Promise.all(this.#wires.map((wire) => wire.close()));
  }
}

export class Fleet {
  readonly #home: string;
  readonly #admin: Listener;
  readonly #controlPlanePorts: readonly number[];
  readonly #runners = new Map<string, FleetRunner>();
  #named = 0;

  constructor(home: string, admin: Listener, controlPlanePorts: readonly number[]) {
    this.#home = home;
    this.#admin = admin;
    this.#controlPlanePorts = controlPlanePorts;
  }

  get all(): readonly FleetRunner[] {
    return [...this.#runners.values()];
  }

  named(id: string): FleetRunner {
    const runner = this.#runners.get(id);
    if (runner === undefined) throw new Error(`no runner ${id} in the fleet`);
    return runner;
  }

  /** Starts what is missing of `count` runners and resolves when all were welcomed. */
  async atLeast(count: number): Promise<void> {
    const missing = Math.max(0, count - this.all.filter((runner) => !runner.ended).length);
    await Promise.all(Array.from({ length: missing }, () => this.start({ id: this.freshId() })));
  }

  freshId(): string {
    return `host-${++this.#named}`;
  }

  async start(wish: RunnerWish): Promise<FleetRunner> {
    await this.#runners.get(wish.id)?.stop();
    const wires =
      wish.dials === undefined ? await Promise.all(this.#controlPlanePorts.map((port) => TcpProxy.to(port))) : [];
    const dials = wish.dials ?? wires.map((wire) => wire.port);
    const child = fork(join(ROOT, "gpu-runner/main.ts"), [], {
      cwd: ROOT,
      detached: true,
      env: { ...this.#env(wish.id, dials, wires[0]?.port, await this.#joinToken(wish.id)), ...wish.env },
      execArgv: ["--disable-warning=ExperimentalWarning", ...(wish.execArgv ?? [])],
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    const runner = new FleetRunner(wish.id, this.#home, child, wires);
    const log = createWriteStream(runner.logPath, { flags: "a" });
    child.stdout?.pipe(log);
    child.stderr?.pipe(log);
    this.#runners.set(wish.id, runner);
    await once(child, "message", { signal: AbortSignal.timeout(READY_MS) });
    return runner;
  }

  /** Takes a dead or unwanted runner out, and its wires with it. */
  async retire(runner: FleetRunner): Promise<void> {
    if (this.#runners.get(runner.id) === runner) this.#runners.delete(runner.id);
    await runner.stop();
  }

  async close(): Promise<void> {
    await Promise.all(this.all.map((runner) => this.retire(runner)));
  }

  /** For a host that is new; the others have joined, and the control plane may be away. */
  async #joinToken(id: string): Promise<string> {
    if (existsSync(join(this.#home, "runners", id, "identity.json"))) return "";
    for (const endMs = Date.now() + READY_MS; ; await pause(JOIN_TOKEN_PAUSE_MS)) {
      try {
        return await joinTokenFor(this.#admin, id);
      } catch (error) {
        // The fault under test may have taken the admin listener away; it comes back.
        if (Date.now() > endMs) throw error;
      }
    }
  }

  /** As `npm start` would set it; files go through the first wire, because a partition does not spare them. */
  #env(id: string, dials: readonly number[], filePort: number | undefined, joinToken: string): NodeJS.ProcessEnv {
    const config = readConfig([], { ...process.env, CALLSHEET_LOG: "debug" }, ROOT);
    const ports = { edge: 0, postgres: 0, controlPlanes: dials.map((main) => ({ main, admin: 0 })) };
    return {
      ...runnerEnv(config, joinToken, this.#home, ports, id, 0),
      ...(filePort === undefined
        ? {}
        : { NODE_USE_ENV_PROXY: "1", HTTP_PROXY: `http://127.0.0.1:${filePort}`, NO_PROXY: "" }),
    };
  }
}
