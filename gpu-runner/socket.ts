/**
 * The line to the control plane: WebSockets, dialled, believed and cut by the rules of `core/line.ts`.
 *
 * An address that takes long does not hold up the next one: dials run side by side. Each open socket is pinged; what a ping
 * that stays unanswered means is the core's to say.
 */
import type { Logger } from "pino";
import { WebSocket } from "ws";
import { RUNNER_PATH } from "#protocol/runner-identity.ts";
import { CLOSE_REVOKED, type FromRunner, RUNNER_FRAME_BYTES_MAX, ToRunner } from "#protocol/runner.ts";
import {
  believedOf,
  greetingOf,
  type LineEffect,
  type LineEvent,
  type LineStep,
  newLine,
  stepLine,
} from "./core/line.ts";

const DIAL_TIMEOUT_MS = 3_000;
/** Then the next address is tried as well. */
const DIAL_STALLED_MS = 250;
const WELCOME_WAIT_MS = 5_000;
/** A frozen leader closes no socket: it is noticed within two pings, before another replica can lead. */
const PING_MS = 2_000;

export interface Line {
  /** A hello goes over the newest open socket, all else over the one that is believed. */
  send(frame: FromRunner): void;
  /** Cuts the believed socket; the line dials again. */
  redial(): void;
  close(): void;
}

export interface LineHost {
  /** A socket waits for a hello; the one before may still be believed. */
  opened(): void;
  /** Nothing can be said until the next welcome. */
  closed(): void;
  heard(frame: ToRunner): void;
}

export function openLine(
  urls: readonly string[],
  secret: string,
  host: LineHost,
  log: Logger,
  random: () => number = Math.random,
): Line {
  return new DialledLine(urls, secret, host, log, random);
}

class DialledLine implements Line {
  readonly #urls: readonly string[];
  readonly #secret: string;
  readonly #host: LineHost;
  readonly #log: Logger;
  readonly #random: () => number;
  readonly #sockets = new Map<number, WebSocket>();
  #state: LineStep["line"];
  #next: NodeJS.Timeout | null = null;
  #stalled: NodeJS.Timeout | null = null;
  #over = false;

  constructor(urls: readonly string[], secret: string, host: LineHost, log: Logger, random: () => number) {
    this.#urls = urls;
    this.#secret = secret;
    this.#host = host;
    this.#log = log;
    this.#random = random;
    const first = newLine(urls);
    this.#state = first.line;
    for (const effect of first.effects) this.#perform(effect);
  }

  send(frame: FromRunner): void {
    const call = frame.t === "hello" ? greetingOf(this.#state) : believedOf(this.#state);
    const socket = call === null ? undefined : this.#sockets.get(call.id);
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame));
  }

  redial(): void {
    const believed = believedOf(this.#state);
    if (believed !== null) this.#sockets.get(believed.id)?.terminate();
  }

  close(): void {
    this.#over = true;
    this.#rest();
    for (const socket of this.#sockets.values()) socket.close(1_000);
  }

  #feed(event: LineEvent): void {
    if (this.#over) return;
    const { line, effects } = stepLine(this.#state, event, this.#random());
    this.#state = line;
    for (const effect of effects) this.#perform(effect);
  }

  #perform(effect: LineEffect): void {
    switch (effect.t) {
      case "dial":
        return this.#dial(effect.id, effect.at);
      case "wait":
        this.#next = setTimeout(() => this.#feed({ t: "due" }), effect.delayMs);
        return;
      case "rest":
        return this.#rest();
      case "greet":
        return this.#host.opened();
      case "down":
        return this.#host.closed();
      case "cut":
        return this.#sockets.get(effect.id)?.terminate();
      case "name_taken":
        return this.#log.error("another runner has dialled under this runner's name");
      default:
        return effect satisfies never;
    }
  }

  #dial(id: number, at: number): void {
    const url = `${(this.#urls[at] as string).replace(/^http/, "ws")}${RUNNER_PATH}`;
    const socket = new WebSocket(url, {
      headers: { authorization: `Bearer ${this.#secret}` },
      handshakeTimeout: DIAL_TIMEOUT_MS,
      maxPayload: RUNNER_FRAME_BYTES_MAX,
      perMessageDeflate: false,
    });
    this.#sockets.set(id, socket);
    const stopPings = this.#keepAsking(id, socket);
    const impatient = setTimeout(() => socket.terminate(), DIAL_TIMEOUT_MS + WELCOME_WAIT_MS);
    socket.on("open", () => this.#feed({ t: "opened", id }));
    socket.on("message", (data, isBinary) => {
      const frame = isBinary ? null : parseFrame((data as Buffer).toString());
      if (frame?.t === "welcome") clearTimeout(impatient);
      this.#heard(id, frame);
    });
    socket.on("error", (error) => this.#log.info({ url, err: error }, "control plane connection failed"));
    socket.on("close", (code, reason) => {
      stopPings();
      clearTimeout(impatient);
      this.#sockets.delete(id);
      if (code === CLOSE_REVOKED) this.#log.error({ url }, "this runner's secret counts no more");
      this.#log.info({ url, code, reason: reason.toString() }, "control plane connection closed");
      this.#feed({ t: "closed", id, code, reason: reason.toString() });
    });
    clearTimeout(this.#stalled ?? undefined);
    this.#stalled = setTimeout(() => this.#feed({ t: "stalled", id }), DIAL_STALLED_MS);
  }

  #heard(id: number, frame: ToRunner | null): void {
    if (frame?.t === "welcome") this.#feed({ t: "welcomed", id });
    if (this.#over) return;
    // What is over is over, whichever socket says it and when; all else counts only from the one that is believed.
    if (frame?.t === "stale") return this.#host.heard(frame);
    if (believedOf(this.#state)?.id !== id) return;
    if (frame !== null) return this.#host.heard(frame);
    this.#log.warn("a frame from the control plane could not be read");
    this.#sockets.get(id)?.terminate();
  }

  /** One ping at a time: where nothing comes through, nothing piles up. */
  #keepAsking(id: number, socket: WebSocket): () => void {
    let waiting = false;
    socket.on("pong", () => {
      waiting = false;
      this.#feed({ t: "answered", id });
    });
    const pings = setInterval(() => {
      if (socket.readyState !== WebSocket.OPEN) return;
      if (waiting) return this.#feed({ t: "unanswered", id });
      waiting = true;
      socket.ping();
    }, PING_MS);
    return () => clearInterval(pings);
  }

  #rest(): void {
    clearTimeout(this.#next ?? undefined);
    clearTimeout(this.#stalled ?? undefined);
    this.#next = null;
  }
}

function parseFrame(text: string): ToRunner | null {
  try {
    return ToRunner.parse(JSON.parse(text));
  } catch {
    return null; // Not ours to repair: the caller cuts the line and both sides start afresh.
  }
}
