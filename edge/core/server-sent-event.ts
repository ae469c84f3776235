/** A live session's frame as a server-sent event; what carries a number becomes the reader's `Last-Event-ID`. */
import type { SessionFrame } from "#protocol/live-session.ts";

/** `text` is the frame's JSON, which has no line end. */
export function sseOf(frame: SessionFrame, text: string, startingAfter: number | null): string {
  const id = cursorOf(frame, startingAfter);
  return `${id === null ? "" : `id: ${id}\n`}event: ${frame.type}\ndata: ${text}\n\n`;
}

/** Where a reader that was cut right after this frame goes on; null: where it stood before. */
export function cursorOf(frame: SessionFrame, startingAfter: number | null): number | null {
  switch (frame.type) {
    case "hello":
      return Math.min(startingAfter ?? frame.last_sequence_number, frame.last_sequence_number);
    case "resync":
      return frame.from;
    case "caught_up":
      return frame.sequence_number;
    case "snapshot":
    case "video.progress":
    case "video.queue_position":
      return null;
    default:
      return frame.sequence_number;
  }
}
