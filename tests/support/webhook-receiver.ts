/** A receiver of webhooks on loopback: answers as it is told, remembers what came, and shows how many came at once. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingHttpHeaders, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly atMs: number;
}

/** A status, or what is done with the response: nothing at all is a tarpit. */
export type Answer = number | ((response: ServerResponse, received: Received) => void);

export class WebhookReceiver {
  readonly received: Received[] = [];
  readonly #server: Server;
  #answer: Answer = 200;
  #open = 0;
  #openMax = 0;
  readonly #waiting: { readonly count: number; readonly resolve: () => void }[] = [];

  static async start(answer: Answer = 200): Promise<WebhookReceiver> {
    const receiver = new WebhookReceiver();
    receiver.answer(answer);
    receiver.#server.listen(0, "127.0.0.1");
    await once(receiver.#server, "listening");
    return receiver;
  }

  private constructor() {
    this.#server = createServer((request, response) => {
      this.#openMax = Math.max(this.#openMax, ++this.#open);
      response.once("close", () => this.#open--);
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const { url: path = "", headers } = request;
        const received = { path, headers, body: Buffer.concat(chunks).toString("utf8"), atMs: performance.now() };
        this.received.push(received);
        const answer = this.#answer;
        if (typeof answer === "number") response.writeHead(answer).end();
        else answer(response, received);
        for (const one of this.#waiting) if (this.received.length >= one.count) one.resolve();
      });
    });
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The most requests that were open at one time. */
  get openMax(): number {
    return this.#openMax;
  }

  answer(answer: Answer): void {
    this.#answer = answer;
  }

  /** Resolves when so many have come. */
  until(count: number): Promise<void> {
    if (this.received.length >= count) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ count, resolve }));
  }

  ids(): readonly string[] {
    return this.received.map(({ headers }) => String(headers["webhook-id"]));
  }

  async stop(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, "close");
  }
}
