/**
 * Stands in for the package `ws`: the members that the product uses of WebSockets and their server, over the simulated
 * network. A peer that ends is seen as a close after a while, and never if the way from it is lost.
 */
import { EventEmitter } from "node:events";
import { theWorld, thisProcess } from "../kernel/running.ts";
import type { Process } from "../kernel/process.ts";
import type { Wire } from "../world/network.ts";
import { listenerAt } from "../world/listeners.ts";

const CLOSE_TIMEOUT_MS = 30_000;
const ABNORMAL = 1_006;

export class WebSocket extends EventEmitter {
  static readonly CONNECTING = 0;
  static readonly OPEN = 1;
  static readonly CLOSING = 2;
  static readonly CLOSED = 3;
  readonly OPEN = WebSocket.OPEN;
  readyState: number = WebSocket.CONNECTING;
  readonly owner: Process;
  /** To the peer. */
  #wire: Wire | null = null;
  #peer: WebSocket | null = null;
  #cancelTimeout: () => void = () => undefined;

  constructor(
    url: string | null,
    options: { readonly headers?: Record<string, string>; readonly handshakeTimeout?: number } = {},
  ) {
    super();
    this.owner = thisProcess();
    if (url !== null) this.#dial(new URL(url), options);
  }

  get #isOver(): boolean {
    return this.readyState === WebSocket.CLOSED;
  }

  send(text: string): void {
    if (this.readyState !== WebSocket.OPEN) return;
    theWorld().kernel.log.add(text);
    if (this.#wire !== null) for (const watcher of watchers) watcher.sent(this.owner, this.#wire.to, text, this);
    this.#frame(`frame ${text.slice(0, 90)}`, (peer) => {
      if (peer.readyState !== WebSocket.OPEN) return;
      for (const watcher of watchers) watcher.heard(peer.owner, text, peer);
      peer.emit("message", Buffer.from(text), false);
    });
  }

  ping(): void {
    this.#carry("ping", (peer) => {
      if (peer.readyState === WebSocket.OPEN) peer.#carry("pong", (self) => self.emit("pong"));
    });
  }

  close(code = 1_000, reason = ""): void {
    if (this.readyState === WebSocket.CONNECTING) return this.terminate();
    if (this.readyState !== WebSocket.OPEN) return;
    this.readyState = WebSocket.CLOSING;
    this.#cancelTimeout = this.owner.clock.after(CLOSE_TIMEOUT_MS, () => this.#over(ABNORMAL, ""));
    this.#carry(`close ${code}`, (peer) => {
      peer.#carry("closed", (self) => self.#over(code, reason));
      peer.#over(code, reason);
    });
  }

  /** The connection is destroyed; the peer hears of it if anything reaches it. */
  terminate(): void {
    if (this.#isOver) return;
    this.#carry("reset", (peer) => peer.#over(ABNORMAL, ""));
    this.readyState = WebSocket.CLOSING;
    this.owner.clock.after(0, () => this.#over(ABNORMAL, ""));
  }

  /** What the peer's kernel says when its process is gone. */
  hangUp(): void {
    this.#carry("hang up", (peer) => peer.#over(ABNORMAL, ""));
  }

  /** Something on the way ended it: both sides hear. */
  cutOff(): void {
    for (const side of [this, this.#peer]) {
      if (side !== null) side.owner.clock.after(0, () => side.#over(ABNORMAL, ""));
    }
  }

  join(peer: WebSocket, wire: Wire): void {
    this.#peer = peer;
    this.#wire = wire;
    // A host that loses its power says nothing; one whose process ends does.
    this.owner.onDeath.add(() => this.hangUp());
  }

  opened(): void {
    if (this.readyState !== WebSocket.CONNECTING) return;
    this.readyState = WebSocket.OPEN;
    this.#cancelTimeout();
    this.emit("open");
  }

  failed(why: string): void {
    if (this.#isOver) return;
    this.#cancelTimeout();
    this.emit("error", new Error(why));
    this.#over(ABNORMAL, "");
  }

  #over(code: number, reason: string): void {
    if (this.#isOver) return;
    this.readyState = WebSocket.CLOSED;
    this.#cancelTimeout();
    this.emit("close", code, Buffer.from(reason));
  }

  #carry(label: string, act: (peer: WebSocket) => void): void {
    const peer = this.#peer;
    if (this.#wire !== null && peer !== null) theWorld().network.carry(this.#wire, label, () => act(peer));
  }

  #frame(label: string, act: (peer: WebSocket) => void): void {
    const peer = this.#peer;
    if (this.#wire !== null && peer !== null) {
      theWorld().network.carryFrame(
        this.#wire,
        label,
        () => act(peer),
        () => this.cutOff(),
      );
    }
  }

  #dial(
    { host, pathname }: URL,
    { headers = {}, handshakeTimeout = 0 }: { headers?: Record<string, string>; handshakeTimeout?: number },
  ): void {
    const { network } = theWorld();
    this.#cancelTimeout = this.owner.clock.after(handshakeTimeout, () => this.failed("the handshake timed out"));
    const listener = listenerAt(host);
    if (listener === null || !listener.process.alive) {
      this.owner.clock.after(1, () => this.failed("connection refused"));
      return;
    }
    const wires = {
      there: network.wire(this.owner, listener.process),
      back: network.wire(listener.process, this.owner),
    };
    network.carry(wires.there, "dial", () => {
      const socket = new UpgradeSocket(this, wires);
      listener.server.emit("upgrade", { url: pathname, headers }, socket, Buffer.alloc(0));
    });
  }
}

/** The raw socket of an upgrade: it becomes a WebSocket or is refused. */
class UpgradeSocket extends EventEmitter {
  readonly client: WebSocket;
  readonly wires: { readonly there: Wire; readonly back: Wire };

  constructor(client: WebSocket, wires: UpgradeSocket["wires"]) {
    super();
    this.client = client;
    this.wires = wires;
  }

  /** The client may have given up while its secret was looked up. */
  get destroyed(): boolean {
    return this.client.readyState === WebSocket.CLOSED;
  }

  destroy(): void {
    // Nobody is there to be told.
  }

  end(answer: string): void {
    theWorld().network.carry(this.wires.back, "refuse", () => this.client.failed(answer.slice(0, 40)));
  }
}

export class WebSocketServer {
  readonly clients = new Set<WebSocket>();

  handleUpgrade(_request: unknown, socket: UpgradeSocket, _head: unknown, accepted: (socket: WebSocket) => void): void {
    const server = new WebSocket(null);
    const { client, wires } = socket;
    server.join(client, wires.back);
    client.join(server, wires.there);
    theWorld().network.carry(wires.back, "accept", () => client.opened());
    server.opened();
    this.clients.add(server);
    server.on("close", () => this.clients.delete(server));
    accepted(server);
  }

  close(): void {
    // Its sockets are ended by whoever closes it.
  }
}

/** Hears every frame when it is sent, and when it comes; `over` is the end of the socket that did it. */
export interface FrameWatch {
  sent(from: Process, to: Process, text: string, over: WebSocket): void;
  heard(by: Process, text: string, over: WebSocket): void;
}

let watchers: readonly FrameWatch[] = [];

export function watchFrames(watches: readonly FrameWatch[]): void {
  watchers = watches;
}
