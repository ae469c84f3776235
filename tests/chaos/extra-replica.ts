/** A third control plane beside the supervised two: its way to the database is a wire, and its clock may be wrong. */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { readConfig } from "#cli/config.ts";
import { freePort } from "#cli/free-port.ts";
import { controlPlaneEnv } from "#cli/part-env.ts";
import type { Site } from "./site.ts";
import { TcpProxy } from "./tcp-proxy.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const SKEW = fileURLToPath(new URL("./skewed-clock.ts", import.meta.url));
const READY_MS = 30_000;
const STOP_MS = 20_000;

const LogLine = z.looseObject({ msg: z.string(), time: z.number() });

export class ExtraReplica {
  readonly url: string;
  readonly port: number;
  readonly wire: TcpProxy;
  readonly #logPath: string;
  readonly #process: ChildProcess;

  static async start(site: Site, name: string, skewMs = 0): Promise<ExtraReplica> {
    const database = new URL(site.product.dev.database_url);
    const wire = await TcpProxy.to(Number(database.port));
    database.port = String(wire.port);
    const own = { main: await freePort(), admin: await freePort() };
    const edge = Number(new URL(site.product.dev.edge_url).port);
    const config = readConfig([], { ...process.env, CALLSHEET_LOG: "info" }, ROOT);
    const ports = { edge, postgres: 0, controlPlanes: [own] };
    const child = fork(join(ROOT, "control-plane/main.ts"), [], {
      cwd: ROOT,
      detached: true,
      env: {
        ...controlPlaneEnv(config, site.secrets, site.product.home, ports, database.href, 0),
        CALLSHEET_CHAOS_SKEW_MS: String(skewMs),
      },
      execArgv: skewMs === 0 ? [] : ["--import", SKEW],
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    const logPath = join(site.product.home, "logs", `${name}.log`);
    const log = createWriteStream(logPath, { flags: "w" });
    child.stdout?.pipe(log);
    child.stderr?.pipe(log);
    await once(child, "message", { signal: AbortSignal.timeout(READY_MS) });
    return new ExtraReplica(own.main, wire, logPath, child);
  }

  private constructor(port: number, wire: TcpProxy, logPath: string, process_: ChildProcess) {
    this.url = `http://127.0.0.1:${port}`;
    this.port = port;
    this.wire = wire;
    this.#logPath = logPath;
    this.#process = process_;
  }

  /** When it last said so in its log, by its own clock; null if it never did. */
  async saidAtMs(message: string): Promise<number | null> {
    const lines = (await readFile(this.#logPath, "utf8")).split("\n").filter((line) => line.startsWith("{"));
    const said = lines.map((line) => LogLine.parse(JSON.parse(line))).findLast(({ msg }) => msg === message);
    return said?.time ?? null;
  }

  async stop(): Promise<void> {
    this.wire.set("open");
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      const exit = once(this.#process, "exit");
      this.#process.kill("SIGTERM");
      const timer = setTimeout(() => this.#process.kill("SIGKILL"), STOP_MS);
      await exit;
      clearTimeout(timer);
    }
    await this.wire.close();
  }
}
