/** A client of `GET /v1/videos/events`: every frame it got, and a way to wait for one. */
import { once } from "node:events";
import { WebSocket } from "ws";
import { z } from "zod";

const Frame = z.looseObject({
  type: z.string(),
  /** "event" of what is in the log or tells of progress; frames about the session have none. */
  object: z.string().optional(),
  sequence_number: z.int().optional(),
  data: z.looseObject({ id: z.string().optional(), progress: z.int().optional() }).optional(),
});
export type Frame = z.infer<typeof Frame>;

/** As our own client (`cli/event-session.ts`). */
const CLOSE_MS = 500;
const PONG = Buffer.from("pong");

export class LiveSession {
  readonly frames: Frame[] = [];
  readonly #socket: WebSocket;
  /** The code that the session ends with. */
  readonly closed: Promise<number>;
  readonly #waiters = new Set<() => void>();

  static async open(edgeUrl: string, apiKey: string, query = ""): Promise<LiveSession> {
    const url = `${edgeUrl.replace(/^http/, "ws")}/v1/videos/events${query}`;
    const options = { headers: { authorization: `Bearer ${apiKey}` }, closeTimeout: CLOSE_MS };
    const socket = new WebSocket(url, "callsheet.v1", options);
    const session = new LiveSession(socket);
    await once(socket, "open");
    await session.until("hello", (frame) => frame.type === "hello");
    return session;
  }

  constructor(socket: WebSocket) {
    this.#socket = socket;
    this.closed = new Promise((resolve) => socket.on("close", resolve));
    socket.on("message", (data) => {
      if (!Buffer.isBuffer(data)) throw new TypeError("frames are text");
      if (data.equals(PONG)) return;
      this.frames.push(Frame.parse(JSON.parse(data.toString("utf8"))));
      for (const wake of this.#waiters) wake();
    });
  }

  /** The first frame that matches, also one that came before. */
  until(what: string, matches: (frame: Frame) => boolean, deadlineMs = 60_000): Promise<Frame> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiters.delete(look);
        reject(
          new Error(
            `no frame in ${deadlineMs} ms: ${what}; got ${JSON.stringify(this.frames.map((frame) => frame.type))}`,
          ),
        );
      }, deadlineMs);
      const look = () => {
        const found = this.frames.find(matches);
        if (found === undefined) return;
        clearTimeout(timer);
        this.#waiters.delete(look);
        resolve(found);
      };
      this.#waiters.add(look);
      look();
    });
  }

  of(video: string): readonly Frame[] {
    return this.frames.filter((frame) => frame.data?.id === video);
  }

  send(frame: unknown): void {
    this.#socket.send(JSON.stringify(frame));
  }

  /** Resolves once so many frames have come. */
  async count(frames: number): Promise<void> {
    while (this.frames.length < frames) await new Promise<void>((resolve) => this.#waiters.add(resolve));
  }

  ping(): void {
    this.#socket.send("ping");
  }

  close(): Promise<number> {
    this.#socket.close(1_000);
    return this.closed;
  }
}
