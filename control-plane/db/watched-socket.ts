/**
 * A connection to PostgreSQL that does not wait for ever: if something was sent and nothing is heard for `SILENCE_MS_MAX`, the
 * peer is gone (a cut network sends no goodbye) and the socket is destroyed, which fails what waits on it. Idle is not silent.
 */
import { connect } from "node:net";
import type { Socket } from "node:net";

/** More than `statement_timeout`: a server that is only slow has answered by then. */
export const SILENCE_MS_MAX = 8_000;

export interface Address {
  readonly host: readonly string[];
  readonly port: readonly number[];
  readonly path?: string | false | undefined;
}

/** Not connected yet: what is written meanwhile is sent then. The driver hears `error` and `close` as of its own sockets. */
export function watchedSocket({ host, port, path }: Address, silenceMsMax = SILENCE_MS_MAX): Socket {
  const socket = typeof path === "string" ? connect(path) : connect(port[0] ?? 5_432, host[0] ?? "127.0.0.1");
  let writtenWhenHeard = 0;
  socket.on("data", () => (writtenWhenHeard = socket.bytesWritten));
  // Fires after that long without a byte in or out, and again.
  socket.setTimeout(silenceMsMax);
  socket.on("timeout", () => {
    if (socket.connecting || socket.bytesWritten > writtenWhenHeard) {
      const silent = new Error(`PostgreSQL was silent for ${silenceMsMax} ms`);
      socket.destroy(Object.assign(silent, { code: "CONNECTION_SILENT" }));
    }
  });
  return socket;
}
