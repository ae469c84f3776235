/** The runners' WebSocket endpoint beside the HTTP app: path and token are checked before the upgrade. */
import type { IncomingMessage, Server } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocketServer } from "ws";
import { bearerMatches } from "#control-plane/usecase/check-token.ts";
import { RUNNER_FRAME_BYTES_MAX } from "#protocol/runner.ts";
import type { RunnerHub } from "./runner-hub.ts";

export const RUNNER_PATH = "/runner/v1";
const PING_MS = 15_000;
/** Runners send a frame whole; what is in a thousand pieces is meant to keep us busy. */
const LIMITS = { maxPayload: RUNNER_FRAME_BYTES_MAX, maxFragments: 64 } as const;

/** Answers a function that ends every runner socket and the pings. */
export function acceptRunners(server: Server, hub: RunnerHub, token: string): () => void {
  const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false, ...LIMITS });
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    // What the client sent, unparsed: it may be no URL at all.
    const [path] = (request.url ?? "").split("?", 1);
    if (path !== RUNNER_PATH) return refuse(socket, "404 Not Found");
    if (!bearerMatches(request.headers.authorization, token)) return refuse(socket, "401 Unauthorized");
    sockets.handleUpgrade(request, socket, head, (accepted) => hub.accept(accepted));
  });
  // A peer that vanished without a FIN is found here; its lease covers the time until then.
  const alive = new WeakSet<object>();
  const pings = setInterval(() => {
    for (const socket of sockets.clients) {
      if (alive.has(socket)) {
        socket.terminate();
        continue;
      }
      alive.add(socket);
      socket.once("pong", () => alive.delete(socket));
      socket.ping();
    }
  }, PING_MS);
  return () => {
    clearInterval(pings);
    sockets.close();
    for (const socket of sockets.clients) socket.terminate();
  };
}

function refuse(socket: Duplex, status: string): void {
  // The server has let go of the socket: a peer that resets it now would otherwise end the process.
  socket.on("error", () => socket.destroy());
  socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
}
