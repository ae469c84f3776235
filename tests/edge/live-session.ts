/** The client's end of a live session: frames in the order they came, awaited, never polled. */
import { z } from "zod";

const Frame = z.looseObject({ type: z.string() });
const EventFrame = z.looseObject({ object: z.literal("event"), sequence_number: z.number() });

export class LiveSession {
  readonly response: Response;
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
  readonly #socket: WebSocket;
  readonly #frames: string[] = [];
  #arrived: () => void = () => {};

  static of(response: Response): LiveSession {
    if (response.webSocket === null) throw new Error(`no session: ${response.status}`);
    return new LiveSession(response, response.webSocket);
  }

  private constructor(response: Response, socket: WebSocket) {
    this.response = response;
    this.#socket = socket;
    this.closed = new Promise((resolve) => {
      socket.addEventListener("close", (event) => resolve({ code: event.code, reason: event.reason }));
    });
    socket.addEventListener("message", (event) => {
      this.#frames.push(String(event.data));
      this.#arrived();
    });
    socket.accept();
  }

  async nextText(): Promise<string> {
    while (this.#frames.length === 0) await new Promise<void>((resolve) => (this.#arrived = resolve));
    return this.#frames.shift() ?? "";
  }

  async next(): Promise<z.infer<typeof Frame>> {
    return Frame.parse(JSON.parse(await this.nextText()));
  }

  /** The next `count` sequence numbers; frames without one are passed over. */
  async numbers(count: number): Promise<number[]> {
    const numbers: number[] = [];
    while (numbers.length < count) {
      const event = EventFrame.safeParse(await this.next());
      if (event.success) numbers.push(event.data.sequence_number);
    }
    return numbers;
  }

  /** Frames up to the one of this type, which is the last. */
  async until(type: string): Promise<z.infer<typeof Frame>[]> {
    const frames: z.infer<typeof Frame>[] = [];
    do frames.push(await this.next());
    while (frames.at(-1)?.type !== type);
    return frames;
  }

  /** All that came before the answer to a ping: proves that nothing else was sent. */
  async untilPong(): Promise<string[]> {
    this.send("ping");
    const before: string[] = [];
    for (let text = await this.nextText(); text !== "pong"; text = await this.nextText()) before.push(text);
    return before;
  }

  send(frame: unknown): void {
    this.#socket.send(typeof frame === "string" ? frame : JSON.stringify(frame));
  }

  close(code?: number, reason?: string): void {
    this.#socket.close(code, reason);
  }
}
