/**
 * The Worker's own end of a live session, for callers that do not speak WebSocket: it counts, ends and resumes like any other.
 *
 * Frames wait here until they are asked for; a caller that lets too many wait is cut, so a response that nobody reads cannot
 * fill this isolate.
 */
import { SessionFrame } from "#protocol/live-session.ts";
import type { VideoId } from "#protocol/id.ts";
import type { EdgeContext } from "./app.ts";
import type { Caller } from "./caller.ts";
import { OpenSession } from "./session/open-session.ts";

const WAITING_CHARS_MAX = 1024 * 1024;
const PONG = "pong";

export interface Wanted {
  readonly videoIds: readonly VideoId[] | null;
  readonly startingAfter: number | null;
}

export type Next =
  | { readonly kind: "frame"; readonly frame: SessionFrame; readonly text: string }
  | { readonly kind: "silence" }
  | { readonly kind: "closed" };

export class InnerSession {
  readonly #socket: WebSocket;
  readonly #waiting: string[] = [];
  #waitingChars = 0;
  #isClosed = false;
  #wake: () => void = () => undefined;
  /** Called when the session ended before its caller wanted it to. */
  onCut: () => void = () => undefined;

  /** The account's refusal, if it gives none: an answer for the client as it is. */
  static async open(c: EdgeContext, caller: Caller, wanted: Wanted): Promise<InnerSession | Response> {
    const open: OpenSession = {
      account: caller.account,
      by: { kind: "key", key: caller.key },
      requestId: c.get("requestId"),
      startingAfter: wanted.startingAfter,
      videoIds: wanted.videoIds === null ? null : [...wanted.videoIds],
      replaces: null,
      wantsSubprotocol: false,
    };
    const answer = await c.env.ACCOUNT_SESSION.getByName(caller.account).fetch(OpenSession.toRequest(open));
    if (answer.webSocket === null) return new Response(answer.body, answer);
    return new InnerSession(answer.webSocket);
  }

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => this.#heard(String(data)));
    socket.addEventListener("close", () => this.#end(true));
    socket.addEventListener("error", () => this.#end(true));
    socket.accept();
  }

  /** The next frame, once there is one; `silence` after so long without. */
  async next(silenceMs: number): Promise<Next> {
    if (this.#waiting.length === 0 && !this.#isClosed && silenceMs > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      const timer = setTimeout(resolve, silenceMs);
      await promise;
      clearTimeout(timer);
    }
    const text = this.#waiting.shift();
    if (text === undefined) return { kind: this.#isClosed ? "closed" : "silence" };
    this.#waitingChars -= text.length;
    return { kind: "frame", frame: SessionFrame.parse(JSON.parse(text)), text };
  }

  /** Shows the object that this end still reads. */
  ping(): void {
    if (!this.#isClosed) this.#socket.send("ping");
  }

  close(): void {
    if (!this.#isClosed) this.#socket.close(1000, "done");
    this.#end(false);
  }

  #heard(text: string): void {
    if (this.#isClosed || text === PONG) return;
    this.#waiting.push(text);
    this.#waitingChars += text.length;
    if (this.#waitingChars > WAITING_CHARS_MAX) {
      this.#socket.close(1000, "the reader is too slow");
      this.#waiting.length = 0;
      this.#end(true);
    } else this.#wake();
  }

  #end(isCut: boolean): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (isCut) this.onCut();
    this.#wake();
  }
}
