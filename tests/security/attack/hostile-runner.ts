/** A runner that says what it likes: it has joined and has a socket, and every frame is of its own making. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { WebSocket } from "ws";
import { hashOfKey } from "#protocol/api-key.ts";
import { AdminRunnerToken, RUNNER_JOIN_PATH, RUNNER_PATH, RUNNER_SECRET_BYTES } from "#protocol/runner-identity.ts";
import { ToRunner } from "#protocol/runner.ts";
import type { FromRunner } from "#protocol/runner.ts";

import type { Product } from "#tests/support/product.ts";

type Frame<Kind extends ToRunner["t"]> = Extract<ToRunner, { t: Kind }>;
type Hello = Extract<FromRunner, { t: "hello" }>;

/** Joins as any runner would, and answers its secret. */
export async function joinAs(product: Product, controlPlane: string, runner: string): Promise<string> {
  const { token } = AdminRunnerToken.parse(await product.admin("POST", "/runner_tokens", { runner }));
  const secret = `csr_${randomBytes(RUNNER_SECRET_BYTES).toString("hex")}`;
  const joined = await fetch(`${controlPlane}${RUNNER_JOIN_PATH}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ token, runner, secret_sha256: await hashOfKey(secret) }),
  });
  if (!joined.ok) throw new Error(`the join was answered ${joined.status}: ${await joined.text()}`);
  return secret;
}

export class HostileRunner {
  readonly heard: ToRunner[] = [];
  readonly closed: Promise<number>;
  readonly #socket: WebSocket;
  readonly #waiting = new Set<() => void>();

  static async dial(controlPlane: string, secret: string, hello: Partial<Hello> = {}): Promise<HostileRunner> {
    const url = `${controlPlane.replace(/^http/, "ws")}${RUNNER_PATH}`;
    const socket = new WebSocket(url, { headers: { authorization: `Bearer ${secret}` } });
    await once(socket, "open");
    const runner = new HostileRunner(socket);
    runner.say({
      t: "hello",
      version: 1,
      runner: "hostile",
      build: "x",
      engine: "x",
      models: ["nobody-asks-for-it"],
      caps: { checkpoint: "exact", step_progress: true, cancel: "step" },
      devices: [{ id: "gpu-0", gpu: "x", vram_bytes: 80 * 1024 ** 3, slots: 1 }],
      leases: [],
      ...hello,
    });
    return runner;
  }

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    this.closed = once(socket, "close").then(([code]) => Number(code));
    socket.on("error", () => socket.terminate());
    socket.on("message", (data: Buffer) => {
      this.heard.push(ToRunner.parse(JSON.parse(data.toString("utf8"))));
      for (const wake of this.#waiting) wake();
    });
  }

  /** An object as JSON, anything else as it is. */
  say(frame: unknown): void {
    this.#socket.send(typeof frame === "string" || Buffer.isBuffer(frame) ? frame : JSON.stringify(frame));
  }

  /** The next frame of this kind; those before it stay. */
  async hear<Kind extends ToRunner["t"]>(
    kind: Kind,
    fits: (frame: Frame<Kind>) => boolean = () => true,
  ): Promise<Frame<Kind>> {
    for (;;) {
      const at = this.heard.findIndex((frame) => frame.t === kind && fits(frame as Frame<Kind>));
      if (at >= 0) return this.heard.splice(at, 1)[0] as Frame<Kind>;
      await new Promise<void>((resolve, reject) => {
        this.#waiting.add(resolve);
        this.closed.then((code) => reject(new Error(`closed with ${code} before a ${kind}`)), reject);
      });
    }
  }

  /** Sockets answer in order: when this resolves, all that was said before was dealt with. */
  async heartbeat(leases: readonly unknown[] = []): Promise<Frame<"renewed">> {
    this.#beat += 1;
    const beat = this.#beat;
    this.say({ t: "heartbeat", beat, leases });
    return this.hear("renewed", (frame) => frame.beat === beat);
  }
  #beat = 0;

  hangUp(): void {
    this.#socket.terminate();
  }
}
