/** What a client says over its live session; anything but a `subscribe` frame is null. */
import { SubscribeFrame } from "#protocol/live-session.ts";

const CLIENT_FRAME_CHARS_MAX = 8_192;

export function readClientFrame(message: string | ArrayBuffer): SubscribeFrame | null {
  if (typeof message !== "string" || message.length > CLIENT_FRAME_CHARS_MAX) return null;
  try {
    return SubscribeFrame.safeParse(JSON.parse(message)).data ?? null;
  } catch {
    return null; // Not JSON: as unknown as any other frame.
  }
}
