/**
 * What a live socket carries through hibernation: its cursor, its filter, and the key that opened it.
 *
 * The attachment is the only copy. 100 video ids are about 4 KiB, well under the runtime's 16 KiB.
 */
import { z } from "zod";
import { Sha256Hex, VideoId } from "#protocol/id.ts";
import { videoOfEvent } from "#protocol/event.ts";
import type { Event, PositionFrame, ProgressFrame } from "#protocol/event.ts";

const SocketState = z.object({
  key: Sha256Hex,
  /** The last sequence number that was sent to it or skipped by its filter. */
  cursor: z.int().nonnegative(),
  /** null: every video of the account. */
  videoIds: z.array(VideoId).nullable(),
});
export type SocketState = z.infer<typeof SocketState>;

export function readSocket(socket: WebSocket): SocketState {
  return SocketState.parse(socket.deserializeAttachment());
}

export function writeSocket(socket: WebSocket, state: SocketState): void {
  socket.serializeAttachment(state);
}

/** Sends unless the filter skips it, which events of the account alone pass never; says nothing about the cursor. */
export function sendTo(socket: WebSocket, state: SocketState, frame: Event | ProgressFrame | PositionFrame): void {
  if (state.videoIds !== null && !state.videoIds.some((id) => id === videoOf(frame))) return;
  // A peer that is gone is told by `webSocketClose`; until then a send to it is simply lost.
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame));
}

function videoOf(frame: Event | ProgressFrame | PositionFrame): string | null {
  return "sequence_number" in frame ? videoOfEvent(frame) : frame.data.id;
}
