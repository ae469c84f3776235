/**
 * A wire that knows frames: speaks the runners' WebSocket on both sides and may deliver a frame later, twice or never.
 * Pings are answered on each side by itself, so a runner behind it looks alive whatever becomes of its frames. Plain requests, by which
 * a new runner joins, pass as they are.
 */
import { once } from "node:events";
import { createServer, request as ask, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { WebSocket, WebSocketServer } from "ws";
import { z } from "zod";

export type Direction = "to_runner" | "to_control_plane";

/** When a frame is delivered, in milliseconds from now: `[0]` as it is, `[]` never, `[0, 80]` twice. */
export type Tamper = (direction: Direction, kind: string) => readonly number[];

const Frame = z.looseObject({ t: z.string() });
const CODE_MIN = 3_000;
const NORMAL = 1_000;

export class FrameProxy {
  delivered = 0;
  /** Frames that came late, twice or not at all. */
  tampered = 0;
  readonly #server: Server;
  readonly #tamper: Tamper;

  static async to(port: number, tamper: Tamper): Promise<FrameProxy> {
    const proxy = new FrameProxy(port, tamper);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  private constructor(port: number, tamper: Tamper) {
    this.#tamper = tamper;
    this.#server = createServer((request, response) => {
      const { method, url, headers } = request;
      const asked = ask({ host: "127.0.0.1", port, method, path: url, headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      });
      asked.on("error", () => response.destroy());
      request.pipe(asked);
    });
    new WebSocketServer({ server: this.#server }).on("connection", (runner, request) => {
      const { authorization = "" } = request.headers;
      const controlPlane = new WebSocket(`ws://127.0.0.1:${port}${request.url}`, { headers: { authorization } });
      this.#join(runner, controlPlane);
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, "close");
  }

  #join(runner: WebSocket, controlPlane: WebSocket): void {
    const early: string[] = [];
    this.#carry(runner, "to_control_plane", (text) => {
      if (controlPlane.readyState === WebSocket.CONNECTING) early.push(text);
      else if (controlPlane.readyState === WebSocket.OPEN) controlPlane.send(text);
    });
    controlPlane.on("open", () => early.forEach((text) => controlPlane.send(text)));
    this.#carry(controlPlane, "to_runner", (text) => runner.readyState === WebSocket.OPEN && runner.send(text));
    endTogether(runner, controlPlane);
    endTogether(controlPlane, runner);
  }

  #carry(from: WebSocket, direction: Direction, deliver: (text: string) => void): void {
    from.on("message", (data) => {
      if (!Buffer.isBuffer(data)) throw new TypeError("frames are text");
      const text = data.toString("utf8");
      const delays = this.#tamper(direction, Frame.parse(JSON.parse(text)).t);
      if (delays.length !== 1 || delays[0] !== 0) this.tampered++;
      for (const delayMs of delays) {
        this.delivered++;
        if (delayMs === 0) deliver(text);
        else setTimeout(() => deliver(text), delayMs);
      }
    });
  }
}

function endTogether(from: WebSocket, to: WebSocket): void {
  from.on("error", () => to.terminate());
  // A code that only says how a socket ended may not be sent.
  from.on("close", (code, reason) => to.close(code === NORMAL || code >= CODE_MIN ? code : NORMAL, reason.toString()));
}
