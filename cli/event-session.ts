/**
 * A client's end of the account's live session that outlives its sockets: after a cut it comes back with its cursor, so its
 * listener hears every numbered event once and in order.
 *
 * It reconnects as the close code says: never after 40xx, with a growing pause after 41xx, within a second otherwise. Pauses
 * are drawn evenly from nothing to their bound, because a restart cuts every client at once.
 */
import { WebSocket } from "ws";
import { EVENTS_SUBPROTOCOL, PING_MS, reconnectAfter, SessionFrame } from "#protocol/live-session.ts";
import type { ApiAccess } from "./video-client.ts";

/** Longer than the edge itself tries: who gives up earlier and asks again only adds to what made it slow. */
const HANDSHAKE_MS = 10_000;
/** workerd lets go of a connection that it closed only when the object falls asleep, ten seconds later. */
const CLOSE_MS = 500;
/** A socket that is silent for longer than two pings is dead, whatever it says. */
const SILENCE_MS = 2 * PING_MS;
const PAUSE_MAX_MS = 1_000;
const BACK_OFF_MAX_MS = 30_000;
const DOUBLINGS_MAX = 5;
/** The service said no to the handshake, and will again. */
const REFUSED_FOR_GOOD: ReadonlySet<number> = new Set([400, 401, 403]);

export interface EventSessionHost {
  /** Every frame, numbered events once each. */
  heard(frame: SessionFrame): void;
  /** The service will not have this client back. */
  refused(why: string): void;
  /** A handshake was accepted; a socket ended with this code, or a handshake with this status. */
  opened?(): void;
  cut?(code: number, status: number): void;
}

export class EventSession {
  readonly #api: ApiAccess;
  readonly #host: EventSessionHost;
  #socket: WebSocket | null = null;
  #session: string | null = null;
  #cursor: number | null = null;
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;
  #beat: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(api: ApiAccess, host: EventSessionHost) {
    this.#api = api;
    this.#host = host;
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
    let status = 0;
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
      status = response.statusCode ?? 0;
      // Who listens to this event has to end the socket: nothing else does.
      socket.terminate();
    });
    // What matters of an error is the close that follows it.
    socket.on("error", () => undefined);
    socket.on("close", (code) => this.#ended(status, code));
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

  #ended(status: number, code: number): void {
    clearInterval(this.#beat);
    if (this.#isClosed) return;
    this.#host.cut?.(code, status);
    const what = REFUSED_FOR_GOOD.has(status) ? "never" : reconnectAfter(code);
    if (what === "never") {
      this.#isClosed = true;
      this.#host.refused(
        status === 0 ? `the session was closed with ${code}` : `the session was refused with ${status}`,
      );
      return;
    }
    this.#failures += 1;
    const isBusy = what === "later" || status === 429 || this.#failures > 2;
    const bound = isBusy ? PAUSE_MAX_MS * 2 ** Math.min(DOUBLINGS_MAX, this.#failures) : PAUSE_MAX_MS;
    this.#timer = setTimeout(() => this.#dial(), Math.random() * Math.min(BACK_OFF_MAX_MS, bound));
  }
}
