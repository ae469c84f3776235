/**
 * The whole product for a test: `npm start`'s own supervisor with a home of its own, on free ports.
 *
 * Tests wait for events (a file, an answer, a frame), each with a deadline; nothing sleeps for luck.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import OpenAI from "openai";
import postgres from "postgres";
import { z } from "zod";
import { AdminAccount, AdminKey } from "#protocol/admin.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const START_MS = 60_000;
const STOP_MS = 30_000;

const DevFile = z.object({
  edge_url: z.string(),
  admin_url: z.string(),
  admin_token: z.string(),
  database_url: z.string(),
  accounts: z.record(z.string(), z.object({ id: z.string(), api_key: z.string() })),
  pids: z.object({
    edge: z.int(),
    control_plane: z.array(z.int()),
    postgres: z.int(),
    runners: z.array(z.int()),
  }),
});
export type DevFile = z.infer<typeof DevFile>;

export class Product {
  readonly home: string;
  /** Null: another process holds the stack. */
  readonly #supervisor: ChildProcess | null;
  readonly #output: string[];
  readonly sql: postgres.Sql;
  readonly dev: DevFile;

  static async start(env: Readonly<Record<string, string>> = {}, startMs = START_MS): Promise<Product> {
    const home = env["CALLSHEET_HOME"] ?? (await mkdtemp(join(tmpdir(), "callsheet-e2e-")));
    const output: string[] = [];
    const supervisor = spawn(process.execPath, [join(ROOT, "cli/start.ts")], {
      cwd: ROOT,
      env: { ...process.env, CALLSHEET_HOME: home, CALLSHEET_EDGE_PORT: "0", CALLSHEET_ADMIN_PORT: "0", ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [supervisor.stdout, supervisor.stderr])
      stream?.on("data", (text) => output.push(String(text)));
    try {
      const dev = await until("the product is up", startMs, async () => {
        if (supervisor.exitCode !== null)
          throw new Error(`npm start ended with ${supervisor.exitCode}:\n${output.join("")}`);
        return readDevFile(home);
      });
      return new Product(home, supervisor, output, dev);
    } catch (error) {
      // Nobody else would stop it.
      await stopProcess(supervisor);
      throw error;
    }
  }

  /** A stack that somebody else started and will stop. */
  static join(home: string, dev: DevFile): Product {
    return new Product(home, null, [], dev);
  }

  constructor(home: string, supervisor: ChildProcess | null, output: string[], dev: DevFile) {
    this.home = home;
    this.#supervisor = supervisor;
    this.#output = output;
    this.dev = dev;
    this.sql = postgres(dev.database_url, { max: 2, onnotice: () => undefined });
  }

  /** What `npm start` has printed so far. */
  get output(): string {
    return this.#output.join("");
  }

  /** Pids as they are now: a restarted part has a new one. */
  async pids(): Promise<DevFile["pids"]> {
    return (await readDevFile(this.home))?.pids ?? this.dev.pids;
  }

  /** The official SDK, unmodified: only `baseURL` and key are ours. */
  client(apiKey = this.key("pro"), options: { maxRetries?: number } = {}): OpenAI {
    return new OpenAI({ baseURL: `${this.dev.edge_url}/v1`, apiKey, ...options });
  }

  key(tier: string): string {
    const account = this.dev.accounts[tier];
    if (account === undefined) throw new Error(`no demo account of tier ${tier}`);
    return account.api_key;
  }

  async admin(method: string, path: string, body?: unknown): Promise<unknown> {
    const response = await fetch(`${this.dev.admin_url}/admin/v1${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.dev.admin_token}`,
        "content-type": "application/json",
        "idempotency-key": randomUUID(),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`admin ${method} ${path}: ${response.status} ${await response.text()}`);
    return response.json();
  }

  /** A fresh account with credits. */
  async account(tier: string, credits = "1000"): Promise<{ readonly id: string; readonly apiKey: string }> {
    const account = AdminAccount.parse(await this.admin("POST", "/accounts", { name: "e2e", tier }));
    await this.admin("POST", "/grants", { account_id: account.id, amount: credits });
    const key = AdminKey.parse(await this.admin("POST", `/accounts/${account.id}/keys`));
    return { id: account.id, apiKey: key.api_key ?? "" };
  }

  async stop(): Promise<void> {
    await this.sql.end();
    if (this.#supervisor === null) return;
    await stopProcess(this.#supervisor);
    await rm(this.home, { recursive: true, force: true });
  }
}

/** Where the leading replica listens; no customer knows it. */
export async function controlPlaneOf(product: Product): Promise<string> {
  const [row] = await product.sql<{ url: string }[]>`select url from leader`;
  if (row === undefined) throw new Error("nobody leads");
  return row.url;
}

/** SIGTERM and the exit code; SIGKILL after a deadline fails the test. */
export async function stopProcess(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const exit = once(child, "exit");
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
  await exit;
  clearTimeout(timer);
  if (child.signalCode === "SIGKILL") throw new Error(`the process did not stop within ${STOP_MS} ms`);
  return child.exitCode;
}

export async function readDevFile(home: string): Promise<DevFile | null> {
  try {
    return DevFile.parse(JSON.parse(await readFile(join(home, "dev.json"), "utf8")));
  } catch (error) {
    // Not there yet; it is written atomically, so nothing else is to be expected.
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
}

/** Asks again and again until there is an answer; fails with `what` after `deadlineMs`. */
export async function until<Value>(
  what: string,
  deadlineMs: number,
  ask: () => Promise<Value | null | false>,
): Promise<Value> {
  const endMs = performance.now() + deadlineMs;
  for (;;) {
    const value = await ask();
    if (value !== null && value !== false) return value;
    if (performance.now() > endMs) throw new Error(`waited ${deadlineMs} ms in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** True while a process of this id exists. */
export function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    // ESRCH is the only reason for a process of our own.
    return false;
  }
}
