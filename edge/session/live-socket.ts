/**
 * One live socket and what it carries through hibernation: who opened it, its cursor, its filter, how far it is, and how much
 * of what it was sent may be unread.
 *
 * The attachment is the only copy and is read once for each `LiveSocket`, so make new ones after anything was awaited. 100
 * video ids are about 4 KiB, well under the runtime's 16 KiB.
 */
import { z } from "zod";
import { Sha256Hex, VideoId } from "#protocol/id.ts";
import { type Event, type PositionFrame, type ProgressFrame, videoOfEvent } from "#protocol/event.ts";
import { type CaughtUpFrame, CLOSE, type HelloFrame } from "#protocol/live-session.ts";
import type { ResyncFrame, SessionFrame, SnapshotFrame } from "#protocol/live-session.ts";
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
    this.#send(frame);
  }

  snapshot(frame: SnapshotFrame): void {
    if (this.#send(frame)) this.#save({ phase: "replay" });
  }

  /** Sends the event unless the filter skips it, which events of the account alone pass never; it counts either way. */
  deliver(event: Event): void {
    if (!this.#wants(videoOfEvent(event)) || this.#send(event)) this.#save({ cursor: event.sequence_number });
  }

  caughtUp(): void {
    const frame: CaughtUpFrame = { type: "caught_up", sequence_number: this.#state.cursor };
    if (this.#send(frame)) this.#save({ phase: "live" });
  }

  show(frame: EphemeralFrame): void {
    if (this.#wants(frame.data.id)) this.#send(frame);
  }

  close(code: number, reason: string): void {
    if (this.isOpen) this.#socket.close(code, reason);
  }

  #wants(video: VideoId | null): boolean {
    const { videoIds } = this.#state;
    return videoIds === null || (video !== null && videoIds.includes(video));
  }

  /** False if the socket was cut instead, or is on its way out: its client will ask again from its own cursor. */
  #send(frame: SessionFrame): boolean {
    if (!this.isOpen) return false;
    const text = JSON.stringify(frame);
    const outflow = afterSend(this.#state.outflow, text.length, this.#pingAtMs(this.#socket));
    if (outflow === null) {
      this.#save({ phase: "cut" });
      this.#socket.close(CLOSE.slowConsumer, "what was sent is not read");
      return false;
    }
    this.#socket.send(text);
    this.#save({ outflow });
    return true;
  }

  #save(part: Partial<State>): void {
    this.#state = { ...this.#state, ...part };
    this.#socket.serializeAttachment(this.#state);
  }
}
