/**
 * The runners' WebSocket endpoint beside the HTTP app: path and secret are checked before the upgrade, so a socket always
 * belongs to the runner that its secret names.
 */
import type { IncomingMessage, Server } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocketServer } from "ws";
import type { Logger } from "pino";
import type { RunnerCredential } from "#control-plane/usecase/runner-identity.ts";
import { RUNNER_PATH } from "#protocol/runner-identity.ts";
import { RUNNER_FRAME_BYTES_MAX } from "#protocol/runner.ts";
import type { RunnerHub } from "./runner-hub.ts";

const PING_MS = 15_000;
/** Dials whose secret is being looked up. */
const DIALS_MAX = 256;
/** Runners send a frame whole; what is in a thousand pieces is meant to keep us busy. */
const LIMITS = { maxPayload: RUNNER_FRAME_BYTES_MAX, maxFragments: 64 } as const;

export interface RunnerDoor {
  /** Whom the bearer token names; null for nobody. */
  readonly identify: (authorization: string | undefined) => Promise<RunnerCredential | null>;
  readonly log: Logger;
}

/** Answers a function that ends every runner socket and the pings. */
export function acceptRunners(server: Server, hub: RunnerHub, { identify, log }: RunnerDoor): () => void {
  const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false, ...LIMITS });
  let dials = 0;
  let closed = false;
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    // A peer that goes while it is looked up must not end the process.
    socket.on("error", () => socket.destroy());
    // What the client sent, unparsed: it may be no URL at all.
    const [path] = (request.url ?? "").split("?", 1);
    if (path !== RUNNER_PATH) return refuse(socket, "404 Not Found");
    if (dials >= DIALS_MAX) return refuse(socket, "503 Service Unavailable");
    dials++;
    void identify(request.headers.authorization)
      .then(
        (credential) => {
          if (credential === null) return refuse(socket, "401 Unauthorized");
          if (closed || socket.destroyed) return socket.destroy();
          sockets.handleUpgrade(request, socket, head, (accepted) => hub.accept(accepted, credential));
        },
        (error: unknown) => {
          log.warn({ err: error }, "a runner's secret could not be looked up");
          refuse(socket, "503 Service Unavailable");
        },
      )
      .finally(() => dials--);
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
    closed = true;
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
