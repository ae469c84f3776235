/** A moderation hook of a test: checks every signature as the operator's would, and answers what the test says. */
import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Webhook } from "standardwebhooks";

interface Told {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly json?: unknown;
  readonly text?: string;
}
type Answer = Told | "hang up" | "endless";
interface Question {
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export class HookServer {
  readonly secret = `whsec_${randomBytes(32).toString("base64")}`;
  /** What it was asked, with a good signature. */
  asked: Question[] = [];
  answer: (question: Question) => Answer | Promise<Answer> = () => "hang up";
  readonly #server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => void this.#answerTo(request, Buffer.concat(chunks).toString(), response));
  });

  static async open(): Promise<HookServer> {
    const hook = new HookServer();
    await new Promise<void>((resolve) => hook.#server.listen(0, "127.0.0.1", resolve));
    return hook;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/moderate`;
  }

  reset(): void {
    this.asked = [];
    this.answer = () => "hang up";
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answerTo(request: IncomingMessage, body: string, response: ServerResponse): Promise<void> {
    // Throws, and so ends the test's process, if the signature is not of the secret.
    const question = new Webhook(this.secret).verify(body, request.headers as Record<string, string>) as Question;
    this.asked.push(question);
    const answer = await this.answer(question);
    if (answer === "hang up") return void response.destroy();
    if (answer === "endless") {
      response.writeHead(200);
      const pour = (): void => {
        while (!response.destroyed && response.write("x".repeat(65_536)));
        if (!response.destroyed) response.once("drain", pour);
      };
      return pour();
    }
    const { status = 200, headers = {}, json, text = JSON.stringify(json) } = answer;
    response.writeHead(status, { "content-type": "application/json", ...headers }).end(text);
  }
}
