/**
 * The line to the control plane: one WebSocket, dialled again when it breaks, the next address after each failure.
 *
 * The first redial is immediate, later ones wait with full jitter. A peer that stops answering pings is cut off.
 */
import type { Logger } from "pino";
import { WebSocket } from "ws";
import { type FromRunner, RUNNER_FRAME_BYTES_MAX, ToRunner } from "#protocol/runner.ts";

const REDIAL_MS_MIN = 50;
const REDIAL_MS_MAX = 2_000;
const DIAL_TIMEOUT_MS = 3_000;
const PING_MS = 5_000;
const REDIAL_DOUBLINGS_MAX = 10;

export interface Line {
  send(frame: FromRunner): void;
  /** Cuts the current socket; the line dials again. */
  redial(): void;
  close(): void;
}

export interface LineHost {
  opened(): void;
  closed(): void;
  heard(frame: ToRunner): void;
}

export function openLine(urls: readonly string[], token: string, host: LineHost, log: Logger): Line {
  let socket: WebSocket | null = null;
  let timer: NodeJS.Timeout | null = null;
  let failures = 0;
  let at = 0;
  let over = false;

  function dial(): void {
    const url = `${(urls[at % urls.length] as string).replace(/^http/, "ws")}/runner/v1`;
    const made = new WebSocket(url, {
      headers: { authorization: `Bearer ${token}` },
      handshakeTimeout: DIAL_TIMEOUT_MS,
      maxPayload: RUNNER_FRAME_BYTES_MAX,
      perMessageDeflate: false,
    });
    socket = made;
    let opened = false;
    const stopPings = keepAlive(made);
    made.on("open", () => {
      opened = true;
      host.opened();
    });
    made.on("message", (data, isBinary) => {
      const frame = isBinary ? null : parseFrame((data as Buffer).toString());
      if (frame === null) {
        log.warn({ url }, "a frame from the control plane could not be read");
        return made.terminate();
      }
      if (frame.t === "welcome") failures = 0;
      host.heard(frame);
    });
    made.on("error", (error) => log.info({ url, err: error }, "control plane connection failed"));
    made.on("close", (code) => {
      stopPings();
      if (socket !== made) return;
      socket = null;
      if (opened) host.closed();
      if (!over) later(url, code);
    });
  }

  function later(url: string, code: number): void {
    const ceiling = Math.min(REDIAL_MS_MAX, REDIAL_MS_MIN * 2 ** Math.min(failures, REDIAL_DOUBLINGS_MAX));
    const delayMs = failures === 0 ? 0 : Math.max(REDIAL_MS_MIN, Math.random() * ceiling);
    // The address that just worked is tried once more before the next one.
    if (failures > 0) at++;
    failures++;
    log.info({ url, code, delay_ms: Math.round(delayMs) }, "control plane connection closed; dialling again");
    timer = setTimeout(dial, delayMs);
  }

  dial();
  return {
    send(frame) {
      if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame));
    },
    redial: () => socket?.terminate(),
    close() {
      over = true;
      if (timer !== null) clearTimeout(timer);
      socket?.close(1_000);
    },
  };
}

function parseFrame(text: string): ToRunner | null {
  try {
    return ToRunner.parse(JSON.parse(text));
  } catch {
    return null; // Not ours to repair: the caller cuts the line and both sides start afresh.
  }
}

function keepAlive(socket: WebSocket): () => void {
  let waiting = false;
  socket.on("pong", () => (waiting = false));
  const pings = setInterval(() => {
    if (socket.readyState !== WebSocket.OPEN) return;
    if (waiting) return socket.terminate();
    waiting = true;
    socket.ping();
  }, PING_MS);
  return () => clearInterval(pings);
}
