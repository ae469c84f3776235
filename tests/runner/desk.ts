/**
 * A small control plane for one runner: the real WebSocket and HTTP of `protocol/runner.ts`, every frame parsed by its
 * schemas. It records what it heard and lets a test wait for a frame.
 */
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";
import { DeviceId, Sha256Hex } from "#protocol/id.ts";
import {
  FromRunner,
  HEARTBEAT_MS,
  LEASE_MS,
  type LeaseRef,
  type Resume,
  type RunSpec,
  type ToRunner,
} from "#protocol/runner.ts";

type Frame<Kind extends FromRunner["t"]> = Extract<FromRunner, { t: Kind }>;

export const TOKEN = "runner-token-of-the-test";

export class Desk {
  readonly heard: FromRunner[] = [];
  readonly store = new Map<string, Buffer>();
  /** How many endings to leave unanswered, as a crashed control plane would. */
  ignoreEndings = 0;
  readonly #server = createServer((request, response) => {
    const key = request.url ?? "";
    if (request.method === "GET") {
      const file = this.store.get(key);
      response.writeHead(file === undefined ? 404 : 200).end(file);
      return;
    }
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks);
      const right =
        request.headers["x-content-sha256"] === createHash("sha256").update(body).digest("hex") &&
        request.headers["content-length"] === String(body.length);
      if (right) this.store.set(key, body);
      response.writeHead(right ? 204 : 400).end();
    });
  });
  readonly #sockets = new WebSocketServer({ server: this.#server, path: "/runner/v1" });
  readonly #waiting = new Set<() => void>();
  #runner: WebSocket | null = null;

  async open(): Promise<string> {
    this.#sockets.on("connection", (socket, request) => {
      if (request.headers.authorization !== `Bearer ${TOKEN}`) return socket.close(1_008);
      socket.on("message", (data: Buffer) => this.#hear(socket, FromRunner.parse(JSON.parse(data.toString()))));
    });
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return this.url;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Resolves with the first frame, of those heard and to come, that fits. */
  async frame<Kind extends FromRunner["t"]>(
    kind: Kind,
    fits: (frame: Frame<Kind>) => boolean = () => true,
  ): Promise<Frame<Kind>> {
    for (;;) {
      const found = this.heard.find((frame): frame is Frame<Kind> => frame.t === kind && fits(frame as Frame<Kind>));
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  assign(lease: LeaseRef, spec: RunSpec, resume: Resume | null = null, device = "cpu-0"): void {
    this.say({ t: "assign", lease, devices: [DeviceId.parse(device)], lease_ms: LEASE_MS, spec, resume });
  }

  say(frame: ToRunner): void {
    this.#runner?.send(JSON.stringify(frame));
  }

  hangUp(): void {
    this.#runner?.terminate();
  }

  /** The resume order for a checkpoint that was uploaded. */
  resumeFrom({ step, sha256, bytes }: Frame<"checkpoint">): Resume {
    return { step, sha256, bytes, url: `${this.url}/${sha256}` };
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets.clients) socket.terminate();
    this.#sockets.close();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #hear(socket: WebSocket, frame: FromRunner): void {
    this.heard.push(frame);
    this.#answer(socket, frame);
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  #answer(socket: WebSocket, frame: FromRunner): void {
    switch (frame.t) {
      case "hello":
        this.#runner = socket;
        return this.say({ t: "welcome", lease_ms: LEASE_MS, heartbeat_ms: HEARTBEAT_MS });
      case "heartbeat":
        return this.say({ t: "renewed", leases: frame.leases, lease_ms: LEASE_MS });
      case "upload": {
        const { lease, kind, sha256 } = frame;
        return this.say({ t: "upload_url", lease, kind, sha256, url: `${this.url}/${sha256}` });
      }
      case "checkpoint":
      case "finished":
      case "failed":
      case "stopped": {
        if (frame.t !== "checkpoint" && this.ignoreEndings-- > 0) return;
        const sha256 = frame.t === "checkpoint" ? frame.sha256 : frame.t === "finished" ? frame.artifact.sha256 : null;
        return this.say({
          t: "recorded",
          lease: frame.lease,
          what: frame.t,
          sha256: sha256 && Sha256Hex.parse(sha256),
        });
      }
      default:
        return;
    }
  }
}
