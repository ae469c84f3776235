/** One frame as a small WebP. The key frame of a VP8 stream is a lossy WebP but for its header (RFC 9649), so the video encoder does it. */
import { VideoEncoder, VideoFrame } from "@napi-rs/webcodecs";
import { BYTES_PER_PIXEL } from "./encode-mp4.ts";

/** Of the longer side. Frames are shrunk by whole factors only. */
const SIDE_MAX = 640;
const BITS_PER_SECOND = 2_000_000;

export async function thumbnailOf(rgba: Uint8ClampedArray, width: number, height: number): Promise<Uint8Array> {
  const factor = Math.ceil(Math.max(width, height) / SIDE_MAX);
  // Even, because colours are kept for two by two pixels.
  const [w, h] = [2 * Math.floor(width / factor / 2), 2 * Math.floor(height / factor / 2)];
  return webpOf(await keyFrameOf(shrunk(rgba, width, { w, h, factor }), w, h));
}

/** Each pixel is the mean of the square that it stands for. */
function shrunk(
  rgba: Uint8ClampedArray,
  width: number,
  { w, h, factor }: { readonly w: number; readonly h: number; readonly factor: number },
): Uint8Array {
  const small = new Uint8Array(w * h * BYTES_PER_PIXEL);
  for (let at = 0; at < small.length; at++) {
    const pixel = Math.floor(at / BYTES_PER_PIXEL);
    const [left, top] = [(pixel % w) * factor, Math.floor(pixel / w) * factor];
    let sum = 0;
    for (let y = top; y < top + factor; y++) {
      for (let x = left; x < left + factor; x++) {
        sum += rgba[(y * width + x) * BYTES_PER_PIXEL + (at % BYTES_PER_PIXEL)] ?? 0;
      }
    }
    small[at] = Math.round(sum / factor ** 2);
  }
  return small;
}

async function keyFrameOf(rgba: Uint8Array, width: number, height: number): Promise<Uint8Array> {
  const frames: Uint8Array[] = [];
  let fault: Error | null = null;
  const encoder = new VideoEncoder({
    output: (chunk) => {
      const bytes = new Uint8Array(chunk.byteLength);
      chunk.copyTo(bytes);
      frames.push(bytes);
    },
    error: (error) => (fault ??= error),
  });
  try {
    encoder.configure({ codec: "vp8", width, height, bitrate: BITS_PER_SECOND });
    const frame = new VideoFrame(rgba, { format: "RGBA", codedWidth: width, codedHeight: height, timestamp: 0 });
    encoder.encode(frame, { keyFrame: true });
    frame.close();
    await encoder.flush();
  } finally {
    encoder.close();
  }
  const [key] = frames;
  if (key === undefined) throw new Error("the VP8 encoder failed", { cause: fault });
  return key;
}

/** `RIFF` size `WEBP` `VP8 ` size frame; chunks have even lengths. */
function webpOf(keyFrame: Uint8Array): Uint8Array {
  const padded = keyFrame.length + (keyFrame.length % 2);
  const file = new Uint8Array(20 + padded);
  const view = new DataView(file.buffer);
  const text = (at: number, name: string): void => file.set(new TextEncoder().encode(name), at);
  text(0, "RIFF");
  view.setUint32(4, 12 + padded, true);
  text(8, "WEBPVP8 ");
  view.setUint32(16, keyFrame.length, true);
  file.set(keyFrame, 20);
  return file;
}
