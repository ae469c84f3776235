/**
 * A reverse proxy on loopback that remembers every exchange, and that can answer in the server's place or lose a reply: so a
 * test sees what a client really sent, how often, and what it was told.
 */
import { once } from "node:events";
import { createServer, request as httpRequest } from "node:http";
import type { IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";

export interface Exchange {
  readonly method: string;
  readonly path: string;
  readonly sent: IncomingHttpHeaders;
  /** Null until there is an answer, and where none was passed on. */
  status: number | null;
  headers: IncomingHttpHeaders;
  /** Of a JSON answer. */
  body: unknown;
  /** Not the server's answer, but a fault's. */
  injected: boolean;
}

/** `lose_reply`: the server does what it is asked, and the client's connection breaks instead of an answer. */
export type Fault =
  | { readonly kind: "answer"; readonly status: number; readonly headers: OutgoingHttpHeaders; readonly body?: object }
  | { readonly kind: "lose_reply" };

export class RecordingProxy {
  readonly exchanges: Exchange[] = [];
  readonly #target: URL;
  readonly #server: Server;
  readonly #faults: { readonly method: string; readonly path: string; readonly fault: Fault }[] = [];

  static async to(target: string): Promise<RecordingProxy> {
    const proxy = new RecordingProxy(new URL(target));
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  private constructor(target: URL) {
    this.#target = target;
    this.#server = createServer((request, response) => {
      // A client or server that goes away is what some tests are about.
      this.#exchange(request, response).catch(() => response.destroy());
    });
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The next such request meets this fault, the one after it the next. */
  meet(method: string, path: string, ...faults: readonly Fault[]): void {
    for (const fault of faults) this.#faults.push({ method, path, fault });
  }

  calls(method: string, path: string): readonly Exchange[] {
    return this.exchanges.filter((seen) => seen.method === method && seen.path.split("?")[0] === path);
  }

  async close(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, "close");
  }

  async #exchange(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "", url: path = "", headers: sent } = request;
    const exchange: Exchange = { method, path, sent, status: null, headers: {}, body: undefined, injected: false };
    this.exchanges.push(exchange);
    const fault = this.#take(method, path.split("?")[0] ?? "");
    if (fault?.kind === "answer") {
      exchange.injected = true;
      exchange.status = fault.status;
      // The request is taken in whole: an early answer to a client that still sends would be a cut connection.
      request.resume();
      await once(request, "end");
      response.writeHead(fault.status, { "content-type": "application/json", ...fault.headers });
      response.end(
        JSON.stringify(fault.body ?? { error: { message: "a fault", type: "test", param: null, code: null } }),
      );
      return;
    }
    const answer = await this.#forward(request, method, path);
    if (fault?.kind === "lose_reply") {
      exchange.injected = true;
      answer.resume();
      await once(answer, "end");
      request.socket.resetAndDestroy();
      return;
    }
    exchange.headers = answer.headers;
    const status = answer.statusCode ?? 0;
    if (!(answer.headers["content-type"] ?? "").startsWith("application/json")) {
      exchange.status = status;
      response.writeHead(status, answer.headers);
      await pipeline(answer, response);
      return;
    }
    exchange.body = await json(answer);
    exchange.status = status;
    // Written anew, so it has another length and framing.
    const { "content-length": _length, "transfer-encoding": _framing, ...headers } = answer.headers;
    response.writeHead(status, headers);
    response.end(JSON.stringify(exchange.body));
  }

  #take(method: string, path: string): Fault | null {
    const at = this.#faults.findIndex((next) => next.method === method && next.path === path);
    return at === -1 ? null : (this.#faults.splice(at, 1)[0]?.fault ?? null);
  }

  async #forward(request: IncomingMessage, method: string, path: string): Promise<IncomingMessage> {
    const { hostname, port, host } = this.#target;
    const forwarded = httpRequest({ hostname, port, method, path, headers: { ...request.headers, host } });
    const answered = once(forwarded, "response") as Promise<[IncomingMessage]>;
    await Promise.all([pipeline(request, forwarded), answered]);
    return (await answered)[0];
  }
}
