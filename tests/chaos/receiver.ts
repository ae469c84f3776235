/** A receiver of webhooks that is always up and keeps a log: who was told of what, under which id. */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { z } from "zod";

const Delivered = z.looseObject({
  id: z.string(),
  type: z.string(),
  data: z.looseObject({ id: z.string().optional() }),
});

export interface Delivery {
  readonly webhookId: string;
  readonly event: string;
  readonly type: string;
  readonly job: string | null;
  readonly atMs: number;
}

export class Receiver {
  readonly log: Delivery[] = [];
  readonly #server: Server;

  static async open(): Promise<Receiver> {
    const receiver = new Receiver();
    receiver.#server.listen(0, "127.0.0.1");
    await once(receiver.#server, "listening");
    return receiver;
  }

  private constructor() {
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const { id, type, data } = Delivered.parse(JSON.parse(Buffer.concat(chunks).toString()));
        const webhookId = String(request.headers["webhook-id"]);
        this.log.push({ webhookId, event: id, type, job: data.id ?? null, atMs: Date.now() });
        response.end();
      });
    });
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/hook`;
  }

  async close(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, "close");
  }
}
