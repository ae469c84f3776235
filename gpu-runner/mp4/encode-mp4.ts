/**
 * Frames to one H.264 MP4 (yuv420p, index in front). Frames stream: at most `QUEUE_MAX` wait in the encoder, so memory
 * does not grow with duration.
 */
import { type EncodedVideoChunk, Mp4Muxer, VideoEncoder, VideoFrame } from "@napi-rs/webcodecs";
import { fixDuration } from "./mp4-timing.ts";

/** RGBA. */
export const BYTES_PER_PIXEL = 4;
const CODEC = "avc1.640033";
const QUEUE_MAX = 4;
const BITS_PER_PIXEL = 0.12;
const BITRATE_MIN = 300_000;
/**
 * A closed frame keeps its pixels until its wrapper is collected, and the collector, which sees only the small wrapper,
 * lets gigabytes pile up (1080p: 8 MB a frame). So it is called each time this much has gone through; that takes about a
 * millisecond with a heap this small, and the reuse of memory makes encoding faster on the whole.
 */
const UNCOLLECTED_BYTES_MAX = 64 * 1024 * 1024;
const KEY_FRAME_SECONDS = 2;
const MICROSECONDS = 1_000_000;

export interface Mp4Encoder {
  /** Resolves when there is room for the next frame; `rgba` may be reused then. */
  add(rgba: Uint8ClampedArray): Promise<void>;
  finish(): Promise<Uint8Array>;
  close(): void;
}

export function openEncoder(width: number, height: number, fps: number): Mp4Encoder {
  const muxer = new Mp4Muxer({ fastStart: true });
  muxer.addVideoTrack({ codec: CODEC, width, height });
  let fault: Error | null = null;
  let isOpen = true;
  const encoder = new VideoEncoder({
    output: (chunk: EncodedVideoChunk, metadata) => {
      // Of a video that was stopped, what was still in the encoder comes out after its close.
      if (isOpen) muxer.addVideoChunk(chunk, metadata);
    },
    error: (error) => (fault ??= error),
  });
  encoder.configure({
    codec: CODEC,
    width,
    height,
    framerate: fps,
    bitrate: Math.max(BITRATE_MIN, Math.round(width * height * fps * BITS_PER_PIXEL)),
    latencyMode: "realtime",
    avc: { format: "avc" },
  });
  let index = 0;
  let uncollectedBytes = 0;
  const check = (): void => {
    if (fault !== null) throw new Error("the H.264 encoder failed", { cause: fault });
  };
  return {
    async add(rgba) {
      check();
      const bytes = new Uint8Array(rgba.buffer, rgba.byteOffset, width * height * BYTES_PER_PIXEL);
      const shape = { format: "RGBA", codedWidth: width, codedHeight: height } as const;
      const frame = new VideoFrame(bytes, { ...shape, ...timesOf(index, fps) });
      encoder.encode(frame, { keyFrame: index % (fps * KEY_FRAME_SECONDS) === 0 });
      frame.close();
      index++;
      uncollectedBytes += bytes.length;
      if (uncollectedBytes > UNCOLLECTED_BYTES_MAX) {
        uncollectedBytes = 0;
        // Exposed by the flags the child is forked with; finalizers run on the next turn of the loop.
        globalThis.gc?.();
        await new Promise(setImmediate);
      }
      while (encoder.encodeQueueSize >= QUEUE_MAX && fault === null) await roomIn(encoder);
    },
    async finish() {
      await encoder.flush();
      check();
      encoder.close();
      const mp4 = muxer.finalize();
      fixDuration(mp4, index, fps);
      return mp4;
    },
    close() {
      isOpen = false;
      if (encoder.state !== "closed") encoder.close();
      muxer.close();
    },
  };
}

/** Whole microseconds, without a gap to the next frame. */
function timesOf(index: number, fps: number): { readonly timestamp: number; readonly duration: number } {
  const timestamp = Math.round((index * MICROSECONDS) / fps);
  return { timestamp, duration: Math.round(((index + 1) * MICROSECONDS) / fps) - timestamp };
}

/** One turn of the event loop at least, so encoder callbacks can run. */
function roomIn(encoder: VideoEncoder): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      encoder.removeEventListener("dequeue", done);
      clearTimeout(timer);
      resolve();
    };
    // The event is a hint: it may fire between our look and our listening.
    const timer = setTimeout(done, 5);
    encoder.addEventListener("dequeue", done);
  });
}
