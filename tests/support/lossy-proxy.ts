/**
 * A network that loses what a test tells it to: a TCP forwarder on loopback that resets a connection instead of handing on
 * the next answer or the next request, or that lets a request through and hangs up before its answer.
 */
import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";

export type Loss =
  /** It was handled; nobody hears. */
  | "answer"
  /** It never arrives. */
  | "request"
  /** It arrives whole, and the client is gone at once. */
  | "client";

export class LossyProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Pieces of answers that were handed on. */
  answers = 0;
  readonly #losses: { readonly loss: Loss; readonly happened: () => void }[] = [];

  static async to(port: number): Promise<LossyProxy> {
    const proxy = new LossyProxy(port);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  private constructor(port: number) {
    this.#server = createServer((client) => this.#join(client, port));
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** What is lost next, after what is to be lost already; settles when it was. */
  lose(loss: Loss): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#losses.push({ loss, happened: resolve });
    return promise;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }

  #join(client: Socket, port: number): void {
    const server = connect(port, "127.0.0.1");
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("error", () => other.destroy());
      socket.on("close", () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
    const reset = () => {
      client.resetAndDestroy();
      server.destroy();
    };
    client.on("data", (bytes: Buffer) => {
      if (this.#loses("request")) return reset();
      server.write(bytes);
      // The end of a form: the whole request is on its way.
      if (bytes.subarray(-4).toString("latin1") === "--\r\n" && this.#loses("client")) server.end(reset);
    });
    server.on("data", (bytes) => {
      if (this.#loses("answer")) return reset();
      this.answers += 1;
      client.write(bytes);
    });
  }

  #loses(loss: Loss): boolean {
    if (this.#losses[0]?.loss !== loss) return false;
    this.#losses.shift()?.happened();
    return true;
  }
}
