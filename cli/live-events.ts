/**
 * The events of an account as they happen: one WebSocket, opened again by the rules of `protocol/reconnect.ts` and resumed
 * behind the last event that was heard, so none is missed or told twice.
 */
import type { IncomingMessage } from "node:http";
import { WebSocket } from "ws";
import { z } from "zod";
import { Event, EVENTS_SUBPROTOCOL, HelloFrame, PositionFrame, ProgressFrame } from "#protocol/event.ts";
import { type Ended, RECONNECT_WITHIN_MS, reconnectAfterMs } from "#protocol/reconnect.ts";
import type { ApiAccess } from "./video-client.ts";

const HANDSHAKE_MS = 5_000;
const Frame = z.union([Event, ProgressFrame, PositionFrame]);
export type Frame = z.infer<typeof Frame>;

export interface LiveHost {
  heard(frame: Frame): void;
  /** A session is open and complete from here on. */
  resumed?(): void;
}

export interface LiveOptions {
  /** Behind this event; null: from now on. */
  readonly startingAfter?: number | null;
  /** In which window the clients of this edge come back. */
  readonly withinMs?: number;
  readonly random?: () => number;
}

export class LiveEvents {
  readonly #api: ApiAccess;
  readonly #host: LiveHost;
  readonly #withinMs: number;
  readonly #random: () => number;
  #lastHeard: number | null;
  #failures = 0;
  #socket: WebSocket | null = null;
  #next: NodeJS.Timeout | null = null;
  #over = false;

  constructor(api: ApiAccess, host: LiveHost, options: LiveOptions = {}) {
    this.#api = api;
    this.#host = host;
    this.#withinMs = options.withinMs ?? RECONNECT_WITHIN_MS;
    this.#random = options.random ?? Math.random;
    this.#lastHeard = options.startingAfter ?? null;
    this.#open();
  }

  get isOpen(): boolean {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  close(): void {
    this.#over = true;
    clearTimeout(this.#next ?? undefined);
    this.#socket?.terminate();
  }

  #open(): void {
    const query = this.#lastHeard === null ? "" : `?starting_after=${this.#lastHeard}`;
    const socket = new WebSocket(
      `${this.#api.edgeUrl.replace(/^http/, "ws")}/v1/videos/events${query}`,
      EVENTS_SUBPROTOCOL,
      { headers: { authorization: `Bearer ${this.#api.apiKey}` }, handshakeTimeout: HANDSHAKE_MS },
    );
    this.#socket = socket;
    let refused: Ended | null = null;
    // What went wrong is told by the close that follows.
    socket.on("error", () => undefined);
    socket.on("unexpected-response", (_request, response: IncomingMessage) => {
      refused = { t: "refused", status: response.statusCode ?? 0, retryAfterMs: retryAfterMsOf(response) };
      socket.terminate();
    });
    socket.on("message", (data: Buffer) => this.#heard(data.toString("utf8")));
    socket.on("close", (code, reason) => this.#ended(refused ?? { t: "closed", code, reason: reason.toString() }));
  }

  #heard(text: string): void {
    const read: unknown = JSON.parse(text);
    const hello = HelloFrame.safeParse(read);
    if (hello.success) {
      this.#failures = 0;
      this.#lastHeard ??= hello.data.last_sequence_number;
      this.#host.resumed?.();
      return;
    }
    const frame = Frame.safeParse(read);
    // Frames that a later edge may send are none of ours.
    if (!frame.success) return;
    if ("sequence_number" in frame.data) this.#lastHeard = frame.data.sequence_number;
    this.#host.heard(frame.data);
  }

  #ended(ended: Ended): void {
    this.#socket = null;
    if (this.#over) return;
    const delayMs = reconnectAfterMs(ended, this.#withinMs, this.#failures, this.#random());
    this.#failures += 1;
    if (delayMs !== null) this.#next = setTimeout(() => this.#open(), delayMs);
  }
}

function retryAfterMsOf({ headers }: IncomingMessage): number | null {
  const seconds = Number(headers["retry-after"] ?? Number.NaN);
  return Number.isFinite(seconds) ? seconds * 1_000 : null;
}
