/**
 * A live session as server-sent events. The stream ends with the session, which an `EventSource` takes up again by itself, or
 * with the last event of the one video it is about.
 */
import type { VideoId } from "#protocol/id.ts";
import type { SessionFrame } from "#protocol/live-session.ts";
import { sseOf } from "./core/server-sent-event.ts";
import type { InnerSession } from "./inner-session.ts";

const COMMENT_MS = 15_000;
const COMMENT = ": still here\n\n";
/** When a reader that was cut comes back: spread, because a restart cuts all of them at once. */
const RETRY_MS_MIN = 250;
const RETRY_SPREAD_MS = 1_000;

export interface StreamOptions {
  readonly startingAfter: number | null;
  /** Ends the stream when this video has ended; null: never. */
  readonly video: VideoId | null;
}

const HEADERS = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-store",
  "x-accel-buffering": "no",
} as const;

/** The whole of a stream that is over before it began. */
export function endedStream(text: string): Response {
  return new Response(text, { headers: HEADERS });
}

/** `begun`: what was read of the session already, as text. */
export function eventStream(session: InnerSession, begun: string, options: StreamOptions): Response {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  // A reader that left is noticed here, also while nothing happens.
  writer.closed.catch(() => session.close());
  void pump(session, writer, retryLine() + begun, options);
  return new Response(readable, { headers: HEADERS });
}

async function pump(
  session: InnerSession,
  writer: WritableStreamDefaultWriter<Uint8Array>,
  begun: string,
  { startingAfter, video }: StreamOptions,
): Promise<void> {
  let isWaiting = false;
  const write = async (text: string) => {
    isWaiting = true;
    await writer.write(new TextEncoder().encode(text));
    isWaiting = false;
  };
  // A write waits for the reader; only this ends one that waits for ever.
  session.onCut = () => {
    if (isWaiting) void writer.abort(new Error("the live session ended")).catch(() => undefined);
  };
  try {
    await write(begun);
    for (;;) {
      const next = await session.next(COMMENT_MS);
      if (next.kind === "closed") break;
      if (next.kind === "silence") {
        session.ping();
        await write(COMMENT);
      } else {
        await write(sseOf(next.frame, next.text, startingAfter));
        if (video !== null && isEndOf(video, next.frame)) break;
      }
    }
    await writer.close();
  } catch {
    // The reader left, or was cut; it comes back with its cursor if it wants more.
  } finally {
    session.close();
  }
}

export function retryLine(): string {
  const [random = 0] = crypto.getRandomValues(new Uint32Array(1));
  return `retry: ${RETRY_MS_MIN + (random % RETRY_SPREAD_MS)}\n\n`;
}

/** The event after which nothing more happens to the video. */
export function isEndOf(video: VideoId, frame: SessionFrame): boolean {
  return (
    (frame.type === "video.completed" || frame.type === "video.failed" || frame.type === "video.cancelled") &&
    frame.data.id === video
  );
}

export function isOver(status: string): boolean {
  return status === "completed" || status === "failed";
}
