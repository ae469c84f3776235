/**
 * A small control plane for one runner: the real WebSocket and HTTP of `protocol/runner.ts`, every frame parsed by its
 * schemas. It records what it heard and lets a test wait for a frame.
 */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";
import { DeviceId, Sha256Hex } from "#protocol/id.ts";
import { CHECKSUM_HEADER } from "#protocol/runner.ts";
import {
  FromRunner,
  HEARTBEAT_MS,
  LEASE_MS,
  type LeaseRef,
  type Resume,
  type RunSpec,
  type ToRunner,
} from "#protocol/runner.ts";
import { SECRET } from "./joined.ts";

type Frame<Kind extends FromRunner["t"]> = Extract<FromRunner, { t: Kind }>;

export class Desk {
  readonly heard: FromRunner[] = [];
  readonly store = new Map<string, Buffer>();
  /** Sockets that were opened, in order of time (`performance.now`). */
  readonly dialledAtMs: number[] = [];
  readonly puts = { begun: 0, cut: 0 };
  /** How many endings to leave unanswered, as a crashed control plane would. */
  ignoreEndings = 0;
  /** What a PUT is answered: by what was sent, never, or with a status of a store in trouble. */
  answerPut: "rightly" | "never" | number = "rightly";
  /** Closes each socket at once, as a replica does that does not lead. */
  closeWith: { readonly code: number; readonly reason: string } | null = null;
  /** How many of the next dials break as soon as they are open. */
  dropDials = 0;
  leaseMs = LEASE_MS;
  heartbeatMs = HEARTBEAT_MS;
  readonly #server = createServer((request, response) => {
    const key = request.url ?? "";
    if (request.method === "GET") {
      const file = this.store.get(key);
      response.writeHead(file === undefined ? 404 : 200).end(file);
      return;
    }
    this.puts.begun++;
    response.on("close", () => {
      if (response.writableEnded) return;
      this.puts.cut++;
      this.#wake();
    });
    this.#wake();
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => this.#stored(key, Buffer.concat(chunks), request, response));
  });
  readonly #sockets = new WebSocketServer({ server: this.#server, path: "/runner/v1" });
  readonly #waiting = new Set<() => void>();
  #runner: WebSocket | null = null;

  async open(): Promise<string> {
    this.#sockets.on("connection", (socket, request) => {
      this.dialledAtMs.push(performance.now());
      if (request.headers.authorization !== `Bearer ${SECRET}`) return socket.close(1_008);
      if (this.dropDials-- > 0) return socket.terminate();
      if (this.closeWith !== null) return socket.close(this.closeWith.code, this.closeWith.reason);
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
      await this.#change();
    }
  }

  /** Resolves when it holds, looked at after each frame and each change of a PUT. */
  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await this.#change();
  }

  assign(lease: LeaseRef, spec: RunSpec, resume: Resume | null = null, device = "cpu-0"): void {
    this.say({ t: "assign", lease, devices: [DeviceId.parse(device)], lease_ms: this.leaseMs, spec, resume });
  }

  say(frame: ToRunner): void {
    this.#runner?.send(JSON.stringify(frame));
  }

  get socketsOpen(): number {
    return this.#sockets.clients.size;
  }

  hangUp(): void {
    this.#runner?.terminate();
  }

  /** The resume order for a checkpoint that was uploaded. */
  resumeFrom({ lease, step, sha256, bytes }: Frame<"checkpoint">): Resume {
    return { step, sha256, bytes, url: `${this.url}/${sha256}`, written_for: lease.job };
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
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.add(resolve));
  }

  #stored(key: string, body: Buffer, request: IncomingMessage, response: ServerResponse): void {
    if (this.answerPut === "never") return;
    if (this.answerPut !== "rightly") return void response.writeHead(this.answerPut).end();
    const right =
      request.headers[CHECKSUM_HEADER] === createHash("sha256").update(body).digest("base64") &&
      request.headers["content-length"] === String(body.length);
    if (right) this.store.set(key, body);
    response.writeHead(right ? 204 : 400).end();
  }

  #answer(socket: WebSocket, frame: FromRunner): void {
    switch (frame.t) {
      case "hello":
        this.#runner = socket;
        return this.say({ t: "welcome", lease_ms: this.leaseMs, heartbeat_ms: this.heartbeatMs });
      case "heartbeat":
        return this.say({ t: "renewed", beat: frame.beat, leases: frame.leases, lease_ms: this.leaseMs });
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
