/**
 * One live socket and what it carries through hibernation: who opened it, its cursor, its filter, how far it is, and how much
 * of what it was sent may be unread.
 *
 * While the object is awake there is one `LiveSocket` for a socket and it is the truth; whatever changes is attached to the
 * socket at once. 100 video ids are about 4 KiB, well under the runtime's 16 KiB.
 */
import { z } from "zod";
import { Sha256Hex, VideoId } from "#protocol/id.ts";
import { type Event, type PositionFrame, type ProgressFrame, videoOfEvent } from "#protocol/event.ts";
import { type CaughtUpFrame, CLOSE, type HelloFrame } from "#protocol/live-session.ts";
import type { ResyncFrame, SnapshotFrame } from "#protocol/live-session.ts";
import { afterSend, NOTHING_SENT } from "../core/outflow.ts";

const State = z.object({
  session: z.string(),
  key: Sha256Hex,
  /** When its ticket's time is over; null if the key itself opened it. */
  endsAtMs: z.number().nullable(),
  /** The last sequence number that was sent to it or skipped by its filter. */
  cursor: z.int().nonnegative(),
  /** null: every video of the account. */
  videoIds: z.array(VideoId).nullable(),
  /** What it is owed next; `cut` is one that did not read and is only waiting for its peer to let go. */
  phase: z.enum(["snapshot", "replay", "live", "cut"]),
  /** How far the log reached when the replay was promised. */
  through: z.int().nonnegative(),
  outflow: z.object({ sentBeforePing: z.int(), sentSincePing: z.int(), pingAtMs: z.number().nullable() }),
});
type State = z.infer<typeof State>;

type EphemeralFrame = ProgressFrame | PositionFrame;

export type PingTime = (socket: WebSocket) => number | null;

export class LiveSocket {
  readonly #socket: WebSocket;
  readonly #pingAtMs: PingTime;
  #state: State;

  /** Gives a socket that was just accepted its state. */
  static begin(
    socket: WebSocket,
    pingAtMs: PingTime,
    start: Pick<State, "session" | "key" | "endsAtMs" | "cursor" | "videoIds" | "through">,
  ): LiveSocket {
    socket.serializeAttachment({ ...start, phase: "snapshot", outflow: NOTHING_SENT } satisfies State);
    return new LiveSocket(socket, pingAtMs);
  }

  constructor(socket: WebSocket, pingAtMs: PingTime) {
    this.#socket = socket;
    this.#pingAtMs = pingAtMs;
    this.#state = State.parse(socket.deserializeAttachment());
  }

  get state(): Readonly<State> {
    return this.#state;
  }

  get isOpen(): boolean {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  /** The same text for the same filter. */
  get filter(): string {
    return this.#state.videoIds?.join() ?? "";
  }

  /** The client wants other videos, or to begin somewhere else. */
  restart(part: Pick<State, "cursor" | "videoIds" | "through">): void {
    this.#save({ ...part, phase: "snapshot" });
  }

  say(frame: HelloFrame | ResyncFrame): void {
    this.#send(JSON.stringify(frame), {});
  }

  snapshot(frame: SnapshotFrame): void {
    this.#send(JSON.stringify(frame), { phase: "replay" });
  }

  /** Sends the event, whose JSON `text` is, unless the filter skips it; events of the account alone never pass one. It counts either way. */
  deliver(event: Event, text: string): void {
    const next = { cursor: event.sequence_number };
    if (this.#wants(videoOfEvent(event))) this.#send(text, next);
    else this.#save(next);
  }

  caughtUp(): void {
    const frame: CaughtUpFrame = { type: "caught_up", sequence_number: this.#state.cursor };
    this.#send(JSON.stringify(frame), { phase: "live" });
  }

  show(frame: EphemeralFrame, text: string): void {
    if (this.#wants(frame.data.id)) this.#send(text, {});
  }

  close(code: number, reason: string): void {
    if (this.isOpen) this.#socket.close(code, reason);
  }

  #wants(video: VideoId | null): boolean {
    const { videoIds } = this.#state;
    return videoIds === null || (video !== null && videoIds.includes(video));
  }

  /** Sends, and is `then` afterwards; or cuts a socket that does not read: its client asks again from its own cursor. */
  #send(text: string, then: Partial<State>): void {
    if (!this.isOpen) return;
    const outflow = afterSend(this.#state.outflow, text.length, this.#pingAtMs(this.#socket));
    if (outflow === null) {
      this.#save({ phase: "cut" });
      this.#socket.close(CLOSE.slowConsumer, "what was sent is not read");
      return;
    }
    this.#socket.send(text);
    this.#save({ outflow, ...then });
  }

  #save(part: Partial<State>): void {
    this.#state = { ...this.#state, ...part };
    this.#socket.serializeAttachment(this.#state);
  }
}
