/** A runner that has a secret of its own and says whatever the test wants, over the real endpoint. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { WebSocket } from "ws";
import { hashOfKey } from "#protocol/api-key.ts";
import { RUNNER_JOIN_PATH, RUNNER_PATH } from "#protocol/runner-identity.ts";
import { ToRunner } from "#protocol/runner.ts";

const HEAR_MS = 10_000;

export interface Joined {
  readonly status: number;
  readonly body: unknown;
}

export function aSecret(): string {
  return `csr_${randomBytes(32).toString("hex")}`;
}

export async function join(url: string, token: string, runner: string, secret: string): Promise<Joined> {
  const call = { token, runner, secret_sha256: await hashOfKey(secret) };
  const response = await fetch(url + RUNNER_JOIN_PATH, { method: "POST", body: JSON.stringify(call) });
  return { status: response.status, body: await response.json() };
}

export class HostileRunner {
  readonly heard: ToRunner[] = [];
  readonly closed: Promise<number>;
  readonly #socket: WebSocket;
  #wake = () => undefined as void;

  /** Rejects with the status if it is refused. */
  static async dial(url: string, secret: string): Promise<HostileRunner> {
    const socket = new WebSocket(url.replace(/^http/, "ws") + RUNNER_PATH, {
      headers: { authorization: `Bearer ${secret}` },
    });
    const runner = new HostileRunner(socket);
    await once(socket, "open");
    return runner;
  }

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on("message", (data: Buffer) => {
      this.heard.push(ToRunner.parse(JSON.parse(data.toString())));
      this.#wake();
    });
    this.closed = new Promise((resolve) => {
      socket.on("close", (code) => resolve(code));
      socket.on("error", () => undefined);
    });
  }

  say(frame: unknown): void {
    this.#socket.send(JSON.stringify(frame));
  }

  hello(runner: string, leases: readonly object[] = []): void {
    this.say({
      t: "hello",
      version: 1,
      runner,
      build: "b",
      engine: "reference",
      // It has none of the models, so it is given no work.
      models: ["none"],
      caps: { checkpoint: "exact", step_progress: true, cancel: "step" },
      devices: [{ id: "cpu-0", gpu: "CPU", vram_bytes: 1, slots: 1 }],
      leases,
    });
  }

  /** Takes the next frame of this kind out of what was heard. */
  async hear<Kind extends ToRunner["t"]>(kind: Kind): Promise<Extract<ToRunner, { t: Kind }>> {
    const timer = AbortSignal.timeout(HEAR_MS);
    for (;;) {
      const at = this.heard.findIndex((frame) => frame.t === kind);
      if (at >= 0) return this.heard.splice(at, 1)[0] as Extract<ToRunner, { t: Kind }>;
      await new Promise<void>((resolve, reject) => {
        this.#wake = resolve;
        timer.addEventListener("abort", () => reject(new Error(`no ${kind} within ${HEAR_MS} ms`)), { once: true });
      });
    }
  }

  end(): void {
    this.#socket.terminate();
  }
}
