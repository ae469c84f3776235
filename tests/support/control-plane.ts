/** The control plane and one runner as processes on a test's database: everything but the edge. */
import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "#cli/free-port.ts";
import { joinTokenFor } from "#cli/runner-tokens.ts";
import { stopProcess } from "./product.ts";

const SECRET = "only-for-tests-0123456789abcdef";

export class ControlPlane {
  readonly #dir: string;
  readonly #port: number;
  readonly #adminPort: number;
  readonly #children: ChildProcess[] = [];

  static async start(databaseUrl: string, env: Readonly<Record<string, string>> = {}): Promise<ControlPlane> {
    const dir = await mkdtemp(join(tmpdir(), "callsheet-plane-"));
    const plane = new ControlPlane(dir, await freePort(), await freePort());
    await plane.#run("control-plane/main.ts", {
      CALLSHEET_ENV: "development",
      CALLSHEET_DATABASE_URL: databaseUrl,
      CALLSHEET_PORT: String(plane.#port),
      CALLSHEET_ADMIN_PORT: String(plane.#adminPort),
      CALLSHEET_ADMIN_TOKEN: SECRET,
      CALLSHEET_EDGE_SECRET: SECRET,
      // Nobody listens there: no account of these tests has a live session.
      CALLSHEET_EDGE_URL: "http://127.0.0.1:9",
      CALLSHEET_PUBLIC_URL: plane.url,
      CALLSHEET_STORE_DIR: join(dir, "store"),
      CALLSHEET_STORE_SECRET: SECRET,
      CALLSHEET_LOG: "fatal",
      ...env,
    });
    return plane;
  }

  private constructor(dir: string, port: number, adminPort: number) {
    this.#dir = dir;
    this.#port = port;
    this.#adminPort = adminPort;
  }

  /** Where runners dial. */
  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get #adminUrl(): string {
    return `http://127.0.0.1:${this.#adminPort}`;
  }

  /** A runner with the reference engine; resolves when it was welcomed. */
  async runner(id: string, devices: number): Promise<ChildProcess> {
    return this.#run("gpu-runner/main.ts", {
      CALLSHEET_ENV: "development",
      CALLSHEET_CONTROL_PLANE_URLS: this.url,
      CALLSHEET_RUNNER_JOIN_TOKEN: await this.joinToken(id),
      CALLSHEET_RUNNER_ID: id,
      CALLSHEET_RUNNER_DIR: join(this.#dir, id),
      CALLSHEET_DEVICES: String(devices),
      CALLSHEET_ENGINE_FAULTS: "allow",
      CALLSHEET_LOG: "silent",
    });
  }

  /** Throws for any answer but success. */
  async admin(method: string, path: string, body?: unknown): Promise<unknown> {
    const response = await fetch(`${this.#adminUrl}/admin/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${SECRET}`, "idempotency-key": randomUUID() },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`admin ${method} ${path}: ${response.status} ${await response.text()}`);
    return response.json();
  }

  joinToken(runner: string): Promise<string> {
    return joinTokenFor({ url: this.#adminUrl, token: SECRET }, runner);
  }

  async stop(): Promise<void> {
    const [plane, ...runners] = this.#children;
    await Promise.all(runners.map(stopProcess));
    if (plane !== undefined) await stopProcess(plane);
    await rm(this.#dir, { recursive: true, force: true });
  }

  async #run(program: string, env: Readonly<Record<string, string>>): Promise<ChildProcess> {
    const child = fork(new URL(`../../${program}`, import.meta.url), { env: { ...process.env, ...env } });
    this.#children.push(child);
    await Promise.race([
      once(child, "message"),
      once(child, "exit").then(([code]) => Promise.reject(new Error(`${program} ended with ${code}`))),
    ]);
    return child;
  }
}
