/**
 * The whole product on one machine, started in the order PostgreSQL → control planes → edge ‖ runners and stopped in the
 * reverse order. Every part is supervised; `dev.json` exists exactly while everything answers.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { writeDevFile, removeDevFile, type DemoAccounts } from "./dev-file.ts";
import { forkNode, type Child } from "./child.ts";
import { ROOT, type Config } from "./config.ts";
import { keepDemoAccounts } from "./demo-accounts.ts";
import { joinTokenFor } from "./runner-tokens.ts";
import type { Listener } from "./admin-call.ts";
import { bundleEdge } from "./edge-bundle.ts";
import { startEdge } from "./edge-child.ts";
import { claimPort, freePort } from "./free-port.ts";
import { Guard } from "./guard.ts";
import { keepSecrets, type HeldHome, type Secrets } from "./home.ts";
import { LogFile } from "./log-file.ts";
import { databaseUrl, startPostgres } from "./postgres.ts";
import { Supervised, type Reports } from "./supervised.ts";
import { controlPlaneEnv, runnerEnv, type Ports } from "./part-env.ts";

/** How long a killed predecessor's parts may take to free their ports. */
const TAKE_OVER_MS = 6_000;
/** Loading the libraries of a real engine from a cold disk. */
const ENGINE_READY_MS = 300_000;
const DATABASE = "callsheet";

export interface StackFacts {
  readonly edgeUrl: string;
  readonly adminUrl: string;
  readonly databaseUrl: string;
  readonly accounts: DemoAccounts;
}

export class Stack {
  readonly #config: Config;
  readonly #home: HeldHome;
  readonly #secrets: Secrets;
  readonly #say: (text: string) => void;
  readonly #guard = new Guard();
  readonly #logs = new Map<string, LogFile>();
  #postgres: Supervised | null = null;
  #controlPlanes: Supervised[] = [];
  #edge: Supervised | null = null;
  #runners: Supervised[] = [];
  #facts: StackFacts | null = null;
  readonly #end = new AbortController();

  constructor(config: Config, home: HeldHome, say: (text: string) => void) {
    this.#config = config;
    this.#home = home;
    this.#secrets = keepSecrets(home.path);
    this.#say = say;
  }

  async start(): Promise<StackFacts> {
    const ports = await this.#claimPorts();
    // The bundle is made while the database starts; its failure is reported when it is needed.
    const bundle = bundleEdge({ root: ROOT, home: this.#home.path, guard: this.#guard, signal: this.#end.signal });
    bundle.catch(() => undefined);
    const database = await this.#startDatabase(ports);
    await this.#startControlPlanes(ports, database);
    const edgeUrl = urlOf(ports.edge);
    const adminUrl = urlOf(ports.controlPlanes[0]?.admin ?? 0);
    const admin = { url: adminUrl, token: this.#secrets.admin_token };
    await Promise.all([this.#startEdge(ports, await bundle), this.#startRunners(ports, admin)]);
    const accounts = await keepDemoAccounts(this.#home.path, edgeUrl, admin);
    this.#facts = { edgeUrl, adminUrl, databaseUrl: database, accounts };
    this.#publish();
    return this.#facts;
  }

  /** Drains in reverse order; resolves when no process is left. */
  async stop(): Promise<void> {
    this.#end.abort();
    removeDevFile(this.#home.path);
    for (const stage of this.#stages()) await Promise.all(stage.map((part) => part.stop()));
    await this.#guard.close();
    this.#home.release();
  }

  /** Ends everything at once. */
  kill(): void {
    this.#end.abort();
    removeDevFile(this.#home.path);
    for (const part of this.#stages().flat()) part.kill();
    this.#home.release();
  }

  #stages(): readonly (readonly Supervised[])[] {
    const one = (part: Supervised | null) => (part === null ? [] : [part]);
    return [this.#runners, one(this.#edge), this.#controlPlanes, one(this.#postgres)];
  }

  async #claimPorts(): Promise<Ports> {
    const waitMs = this.#home.takenOver ? TAKE_OVER_MS : 0;
    const edge = await claimPort(this.#config.edgePort, "CALLSHEET_EDGE_PORT", waitMs);
    const firstAdmin = await claimPort(this.#config.adminPort, "CALLSHEET_ADMIN_PORT", waitMs);
    const controlPlanes = [];
    for (let i = 0; i < this.#config.replicas; i++) {
      controlPlanes.push({ main: await freePort(), admin: i === 0 ? firstAdmin : await freePort() });
    }
    return { edge, postgres: await freePort(), controlPlanes };
  }

  async #startDatabase(ports: Ports): Promise<string> {
    if (this.#config.databaseUrl !== null) return this.#config.databaseUrl;
    const options = {
      dataDir: join(this.#home.path, "postgres"),
      port: ports.postgres,
      password: this.#secrets.postgres_password,
      logFile: join(this.#home.path, "logs", "postgres.log"),
      durable: true,
      guard: this.#guard,
      database: DATABASE,
    };
    rmSync(options.logFile, { force: true });
    this.#postgres = this.#supervise("postgres", async () => ({
      ...(await startPostgres(options)),
      ready: Promise.resolve(),
    }));
    await this.#begin(this.#postgres);
    return databaseUrl(options, DATABASE);
  }

  async #startControlPlanes(ports: Ports, database: string): Promise<void> {
    this.#controlPlanes = ports.controlPlanes.map((_, index) =>
      this.#supervise(index === 0 ? "control-plane" : `control-plane-${index + 1}`, async (name) => {
        const child = forkNode({
          program: join(ROOT, "control-plane/main.ts"),
          cwd: ROOT,
          env: controlPlaneEnv(this.#config, this.#secrets, this.#home.path, ports, database, index),
          log: this.#log(name),
        });
        // It notices our death by itself, but one was seen that hung in its own exit. Runners are left their time to drain.
        this.#guard.watchChild(child, "SIGTERM");
        return child;
      }),
    );
    await Promise.all(this.#controlPlanes.map((part) => this.#begin(part)));
  }

  async #startEdge(ports: Ports, bundle: string): Promise<void> {
    this.#edge = this.#supervise("edge", async (name) =>
      startEdge({
        bundle,
        objectsDir: this.#config.objectsDir,
        port: ports.edge,
        controlPlaneUrls: ports.controlPlanes.map((replica) => urlOf(replica.main)),
        signingSecret: this.#secrets.edge_secret,
        log: this.#log(name),
        guard: this.#guard,
      }),
    );
    await this.#begin(this.#edge);
  }

  async #startRunners(ports: Ports, admin: Listener): Promise<void> {
    const names = Array.from({ length: this.#config.runners }, (_, index) => `runner-${index + 1}`);
    const tokens = new Map<string, string>();
    for (const id of names) tokens.set(id, await joinTokenFor(admin, id));
    this.#runners = names.map((id, index) =>
      this.#supervise(id, async (name) =>
        forkNode({
          program: join(ROOT, "gpu-runner/main.ts"),
          cwd: ROOT,
          env: runnerEnv(this.#config, tokens.get(id) ?? "", this.#home.path, ports, id, index),
          log: this.#log(name),
          ...(this.#config.engine === "reference" ? {} : { readyMs: ENGINE_READY_MS }),
        }),
      ),
    );
    await Promise.all(this.#runners.map((part) => this.#begin(part)));
  }

  #supervise(name: string, launch: (name: string) => Promise<Child>): Supervised {
    const reports: Reports = {
      ended: (part, why, delayMs) =>
        this.#say(`${part} ended (${why}); starting it again${delayMs === 0 ? "" : ` in ${delayMs} ms`}`),
      restarted: (part, pid) => {
        this.#say(`${part} is back (pid ${pid})`);
        this.#publish();
      },
    };
    return new Supervised({ name, launch: () => launch(name) }, reports);
  }

  async #begin(part: Supervised): Promise<void> {
    // A stop may have come meanwhile: what is begun now nobody would end.
    this.#end.signal.throwIfAborted();
    try {
      await part.start();
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : "for an unknown reason";
      throw new Error(`${part.name} did not start: ${why}\n${this.#logs.get(part.name)?.tail() ?? ""}`.trimEnd(), {
        cause,
      });
    }
  }

  #log(name: string): LogFile {
    return this.#logs.getOrInsertComputed(
      name,
      () => new LogFile(join(this.#home.path, "logs", `${name}.log`), (text) => this.#say(`${name} ${text}`)),
    );
  }

  #publish(): void {
    if (this.#facts === null || this.#end.signal.aborted) return;
    writeDevFile(this.#home.path, {
      edge_url: this.#facts.edgeUrl,
      admin_url: this.#facts.adminUrl,
      admin_token: this.#secrets.admin_token,
      database_url: this.#facts.databaseUrl,
      accounts: this.#facts.accounts,
      pids: {
        edge: this.#edge?.pid ?? 0,
        control_plane: this.#controlPlanes.map((part) => part.pid),
        postgres: this.#postgres?.pid ?? null,
        runners: this.#runners.map((part) => part.pid),
      },
    });
  }
}

function urlOf(port: number): string {
  return `http://127.0.0.1:${port}`;
}
