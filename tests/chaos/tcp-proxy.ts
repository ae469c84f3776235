/**
 * A wire that can break: a TCP forwarder on loopback whose two directions can be held, and which can be cut.
 *
 * `held` keeps the bytes of a direction back and delivers them after the heal, as TCP itself would by sending again;
 * neither end is told. `cut` resets every connection and refuses new ones.
 */
import { once } from "node:events";
import { createServer, connect, type AddressInfo, type Server, type Socket } from "node:net";

export const WIRES = ["open", "held", "to_client_held", "from_client_held", "cut"] as const;
export type Wire = (typeof WIRES)[number];

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
}

export class TcpProxy {
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  #wire: Wire = "open";

  static async to(port: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(port);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  private constructor(port: number) {
    this.#server = createServer({ allowHalfOpen: true }, (client) => this.#join(client, port));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  set(wire: Wire): void {
    this.#wire = wire;
    for (const pair of this.#pairs) this.#apply(pair);
  }

  async close(): Promise<void> {
    this.set("cut");
    this.#server.close();
    await once(this.#server, "close");
  }

  #join(client: Socket, port: number): void {
    const server = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    const pair = { client, server };
    this.#pairs.add(pair);
    this.#forward(client, server);
    this.#forward(server, client);
    const gone = (): void => {
      if (client.destroyed && server.destroyed) this.#pairs.delete(pair);
    };
    client.on("close", gone);
    server.on("close", gone);
    this.#apply(pair);
  }

  #forward(from: Socket, to: Socket): void {
    from.setNoDelay(true);
    from.on("data", (bytes) => to.write(bytes));
    from.on("end", () => to.end());
    // A broken end is seen at the other one as soon as the wire carries anything again.
    from.on("error", () => this.#whenOpen(() => to.resetAndDestroy()));
    from.on("close", () => this.#whenOpen(() => to.destroySoon()));
  }

  #whenOpen(act: () => void): void {
    if (this.#wire === "open" || this.#wire === "cut") act();
  }

  #apply({ client, server }: Pair): void {
    switch (this.#wire) {
      case "cut":
        client.resetAndDestroy();
        server.resetAndDestroy();
        return;
      case "open":
        // An end that closed while the wire was held is found closed now.
        if (client.destroyed) server.destroy();
        if (server.destroyed) client.destroy();
        client.resume();
        server.resume();
        return;
      case "held":
        client.pause();
        server.pause();
        return;
      case "to_client_held":
        client.resume();
        server.pause();
        return;
      case "from_client_held":
        client.pause();
        server.resume();
        return;
      default:
        this.#wire satisfies never;
    }
  }
}
