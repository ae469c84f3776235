/**
 * The line to the control plane: one open WebSocket, dialled again when it breaks, by the rules of `core/redial.ts`.
 *
 * An address that takes long does not hold up the next one: dials run side by side, the first that opens speaks, and the
 * others are dropped when it is welcomed. A peer that stops answering pings, or does not welcome us, is cut off.
 */
import type { Logger } from "pino";
import { WebSocket } from "ws";
import { RUNNER_PATH } from "#protocol/runner-identity.ts";
import { CLOSE_REPLACED, CLOSE_REVOKED, type FromRunner, RUNNER_FRAME_BYTES_MAX, ToRunner } from "#protocol/runner.ts";
import { type Ended, firstDial, type Next, nextDial, type Redial } from "./core/redial.ts";

const DIAL_TIMEOUT_MS = 3_000;
/** Then the next address is tried as well. */
const DIAL_STALLED_MS = 250;
const WELCOME_WAIT_MS = 5_000;
/** A frozen leader closes no socket: it is noticed within two pings, before another replica can lead. */
const PING_MS = 2_000;

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

/** One socket from its dial to its close. */
interface Call {
  readonly at: number;
  readonly url: string;
  readonly socket: WebSocket;
  welcomed: boolean;
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
  /** Dials that have not opened; at most one an address. */
  readonly #dialling = new Set<Call>();
  #redial: Redial;
  #open: Call | null = null;
  #next: NodeJS.Timeout | null = null;
  #stalled: NodeJS.Timeout | null = null;
  #over = false;

  constructor(urls: readonly string[], secret: string, host: LineHost, log: Logger, random: () => number) {
    this.#urls = urls;
    this.#secret = secret;
    this.#host = host;
    this.#log = log;
    this.#random = random;
    const first = firstDial(urls);
    this.#redial = first.redial;
    this.#dial(first.at);
  }

  send(frame: FromRunner): void {
    if (this.#open?.socket.readyState === WebSocket.OPEN) this.#open.socket.send(JSON.stringify(frame));
  }

  redial(): void {
    this.#open?.socket.terminate();
  }

  close(): void {
    this.#over = true;
    this.#rest();
    this.#dropDials();
    this.#open?.socket.close(1_000);
  }

  #dial(at: number): void {
    const url = `${(this.#urls[at] as string).replace(/^http/, "ws")}${RUNNER_PATH}`;
    const socket = new WebSocket(url, {
      headers: { authorization: `Bearer ${this.#secret}` },
      handshakeTimeout: DIAL_TIMEOUT_MS,
      maxPayload: RUNNER_FRAME_BYTES_MAX,
      perMessageDeflate: false,
    });
    const call: Call = { at, url, socket, welcomed: false };
    this.#dialling.add(call);
    const stopPings = keepAlive(socket);
    const impatient = setTimeout(() => socket.terminate(), DIAL_TIMEOUT_MS + WELCOME_WAIT_MS);
    socket.on("open", () => this.#opened(call));
    socket.on("message", (data, isBinary) => {
      if (call === this.#open) this.#heard(call, isBinary ? null : parseFrame((data as Buffer).toString()));
      if (call.welcomed) clearTimeout(impatient);
    });
    socket.on("error", (error) => this.#log.info({ url, err: error }, "control plane connection failed"));
    socket.on("close", (code, reason) => {
      stopPings();
      clearTimeout(impatient);
      this.#closed(call, code, reason.toString());
    });
    clearTimeout(this.#stalled ?? undefined);
    this.#stalled = setTimeout(
      () => this.#goOn(nextDial(this.#redial, stalledAt(at), this.#random())),
      DIAL_STALLED_MS,
    );
  }

  #opened(call: Call): void {
    this.#dialling.delete(call);
    if (this.#over || this.#open !== null) return call.socket.close(1_000, "another line is open");
    this.#rest();
    this.#open = call;
    this.#host.opened();
  }

  #heard(call: Call, frame: ToRunner | null): void {
    if (frame === null) {
      this.#log.warn({ url: call.url }, "a frame from the control plane could not be read");
      return call.socket.terminate();
    }
    if (frame.t === "welcome") {
      call.welcomed = true;
      this.#dropDials();
    }
    this.#host.heard(frame);
  }

  #closed(call: Call, code: number, reason: string): void {
    const { at, url, welcomed } = call;
    const wasDialling = this.#dialling.delete(call);
    const wasOpen = this.#open === call;
    if (wasOpen) {
      this.#open = null;
      this.#host.closed();
    }
    if (this.#over || this.#open !== null || !(wasOpen || wasDialling)) return;
    if (code === CLOSE_REVOKED) this.#log.error({ url }, "this runner's secret counts no more");
    if (code === CLOSE_REPLACED) this.#log.error({ url }, "another runner has dialled under this runner's name");
    const next = nextDial(this.#redial, { at, welcomed, code, reason }, this.#random());
    this.#log.info({ url, code, reason, delay_ms: next.delayMs }, "control plane connection closed");
    this.#goOn(next);
  }

  /** Passes over addresses that are being dialled: their ends ask again. Nothing to do if a dial is due anyway. */
  #goOn(first: Next): void {
    if (this.#next !== null) return;
    let { redial, at, delayMs } = first;
    for (let tries = 1; [...this.#dialling].some((call) => call.at === at); tries++) {
      if (tries === this.#urls.length) return;
      const next = nextDial(redial, stalledAt(at), this.#random());
      ({ redial, at } = next);
      delayMs = Math.max(delayMs, next.delayMs);
    }
    this.#redial = redial;
    this.#next = setTimeout(() => {
      this.#next = null;
      this.#dial(at);
    }, delayMs);
  }

  #rest(): void {
    clearTimeout(this.#next ?? undefined);
    clearTimeout(this.#stalled ?? undefined);
    this.#next = null;
  }

  #dropDials(): void {
    const dials = [...this.#dialling];
    this.#dialling.clear();
    for (const { socket } of dials) socket.terminate();
  }
}

function stalledAt(at: number): Ended {
  return { at, welcomed: false, code: null, reason: "" };
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
