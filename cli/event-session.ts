/**
 * A client's end of the account's live session that outlives its sockets: after a cut it comes back with its cursor, so its
 * listener hears every numbered event once and in order.
 *
 * It comes back by the rules of `protocol/reconnect.ts`, because a restart cuts every client at once.
 */
import type { IncomingMessage } from "node:http";
import { WebSocket } from "ws";
import { EVENTS_SUBPROTOCOL, PING_MS, SessionFrame } from "#protocol/live-session.ts";
import { type Ended, RECONNECT_WITHIN_MS, reconnectAfterMs } from "#protocol/reconnect.ts";
import type { ApiAccess } from "./video-client.ts";

/** Longer than the edge itself tries: who gives up earlier and asks again only adds to what made it slow. */
const HANDSHAKE_MS = 10_000;
/** workerd lets go of a connection that it closed only when the object falls asleep, ten seconds later. */
const CLOSE_MS = 500;
/** A socket that is silent for longer than two pings is dead, whatever it says. */
const SILENCE_MS = 2 * PING_MS;

export interface EventSessionHost {
  /** Every frame, numbered events once each. */
  heard(frame: SessionFrame): void;
  /** The service will not have this client back. */
  refused(why: string): void;
  /** A handshake was accepted; a socket ended with this code, or a handshake with this status. */
  opened?(): void;
  cut?(code: number, status: number): void;
}

export interface EventSessionOptions {
  /** Behind this event; null: from now on. */
  readonly startingAfter?: number | null;
  /** In which window the clients of this edge come back. */
  readonly withinMs?: number;
  readonly random?: () => number;
}

export class EventSession {
  readonly #api: ApiAccess;
  readonly #host: EventSessionHost;
  readonly #withinMs: number;
  readonly #random: () => number;
  #socket: WebSocket | null = null;
  #session: string | null = null;
  #cursor: number | null;
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;
  #beat: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(api: ApiAccess, host: EventSessionHost, options: EventSessionOptions = {}) {
    this.#api = api;
    this.#host = host;
    this.#cursor = options.startingAfter ?? null;
    this.#withinMs = options.withinMs ?? RECONNECT_WITHIN_MS;
    this.#random = options.random ?? Math.random;
    this.#dial();
  }

  get isOpen(): boolean {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Loses the socket as a network does: without a word. */
  drop(): void {
    this.#socket?.terminate();
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    clearInterval(this.#beat);
    this.#socket?.terminate();
  }

  #dial(): void {
    const url = new URL(`${this.#api.edgeUrl.replace(/^http/, "ws")}/v1/videos/events`);
    if (this.#cursor !== null) url.searchParams.set("starting_after", String(this.#cursor));
    if (this.#session !== null) url.searchParams.set("replaces", this.#session);
    const headers = { authorization: `Bearer ${this.#api.apiKey}` };
    // `closeTimeout` is younger than the types.
    const options = { headers, handshakeTimeout: HANDSHAKE_MS, closeTimeout: CLOSE_MS };
    const socket = new WebSocket(url, EVENTS_SUBPROTOCOL, options);
    this.#socket = socket;
    let refused: Ended | null = null;
    let heardAtMs = Date.now();
    socket.on("open", () => {
      this.#host.opened?.();
      this.#beat = setInterval(() => {
        if (Date.now() - heardAtMs > SILENCE_MS) socket.terminate();
        else socket.send("ping");
      }, PING_MS);
    });
    socket.on("message", (data: Buffer) => {
      heardAtMs = Date.now();
      this.#hear(data.toString("utf8"));
    });
    socket.on("unexpected-response", (_request, response) => {
      refused = { t: "refused", status: response.statusCode ?? 0, retryAfterMs: retryAfterMsOf(response) };
      // Who listens to this event has to end the socket: nothing else does.
      socket.terminate();
    });
    // What matters of an error is the close that follows it.
    socket.on("error", () => undefined);
    socket.on("close", (code, reason) => this.#ended(refused ?? { t: "closed", code, reason: reason.toString() }));
  }

  #hear(text: string): void {
    if (text === "pong") return;
    const frame = SessionFrame.parse(JSON.parse(text));
    if (frame.type === "hello") {
      this.#session = frame.session_id;
      this.#cursor ??= frame.last_sequence_number;
    } else if (frame.type === "resync") this.#cursor = frame.from;
    else if (frame.type === "caught_up") {
      this.#cursor = frame.sequence_number;
      this.#failures = 0;
    } else if ("sequence_number" in frame) this.#cursor = frame.sequence_number;
    this.#host.heard(frame);
  }

  #ended(ended: Ended): void {
    clearInterval(this.#beat);
    if (this.#isClosed) return;
    const wasRefused = ended.t === "refused";
    this.#host.cut?.(wasRefused ? 1_006 : ended.code, wasRefused ? ended.status : 0);
    const delayMs = reconnectAfterMs(ended, this.#withinMs, this.#failures, this.#random());
    this.#failures += 1;
    if (delayMs !== null) {
      this.#timer = setTimeout(() => this.#dial(), delayMs);
      return;
    }
    this.#isClosed = true;
    this.#host.refused(
      wasRefused ? `the session was refused with ${ended.status}` : `the session was closed with ${ended.code}`,
    );
  }
}

function retryAfterMsOf({ headers }: IncomingMessage): number | null {
  const seconds = Number(headers["retry-after"] ?? Number.NaN);
  return Number.isFinite(seconds) ? seconds * 1_000 : null;
}
