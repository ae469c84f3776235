/** A client that opens a live session by hand and then reads nothing, while it says whatever it is told to. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";

const CLOSE = 8;

export class DeafSocket {
  readonly #socket: Socket;
  #bytes = Buffer.alloc(0);

  static async open(edgeUrl: string, apiKey: string): Promise<DeafSocket> {
    const { hostname, port } = new URL(edgeUrl);
    const socket = connect({ host: hostname, port: Number(port) });
    // Only the head is read: the rest stays with the sender and in the kernel.
    socket.pause();
    await once(socket, "connect");
    socket.write(
      [
        "GET /v1/videos/events HTTP/1.1",
        `host: ${hostname}:${port}`,
        "upgrade: websocket",
        "connection: upgrade",
        "sec-websocket-version: 13",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
        `authorization: Bearer ${apiKey}`,
        "\r\n",
      ].join("\r\n"),
    );
    const deaf = new DeafSocket(socket);
    await once(socket, "readable");
    deaf.#take();
    if (!deaf.#bytes.includes("101 Switching Protocols")) throw new Error(deaf.#bytes.toString("latin1").slice(0, 500));
    return deaf;
  }

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("error", () => undefined);
  }

  /** A masked text frame; the mask is nothing, which is as good as any. */
  say(text: string): void {
    const body = Buffer.from(text);
    this.#socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | body.length, 0, 0, 0, 0]), body]));
  }

  /** Listens at last: the code of the close that the server had sent, or null if it just hung up. */
  async closeCode(): Promise<number | null> {
    const end = this.#bytes.indexOf("\r\n\r\n");
    this.#bytes = this.#bytes.subarray(end + 4);
    for await (const chunk of this.#socket as AsyncIterable<Buffer>) {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
      const code = this.#scan();
      if (code !== undefined) return code;
    }
    return null;
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #take(): void {
    for (let chunk: unknown = this.#socket.read(); chunk !== null; chunk = this.#socket.read()) {
      if (Buffer.isBuffer(chunk)) this.#bytes = Buffer.concat([this.#bytes, chunk]);
    }
  }

  /** Steps over whole frames; undefined while there is no close among them. */
  #scan(): number | undefined {
    for (;;) {
      const [first = 0, second = 0] = this.#bytes;
      const short = second & 0x7f;
      const head = short === 126 ? 4 : short === 127 ? 10 : 2;
      if (this.#bytes.length < Math.max(2, head)) return undefined;
      const length =
        short === 126 ? this.#bytes.readUInt16BE(2) : short === 127 ? Number(this.#bytes.readBigUInt64BE(2)) : short;
      if (this.#bytes.length < head + length) return undefined;
      const body = this.#bytes.subarray(head, head + length);
      if ((first & 0x0f) === CLOSE) return body.readUInt16BE(0);
      this.#bytes = this.#bytes.subarray(head + length);
    }
  }
}
