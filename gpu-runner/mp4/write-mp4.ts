/**
 * A finished video, with its thumbnail, from its frames: each is painted into one buffer, hashed and encoded, so memory does not grow with
 * the duration. The hash is over the RGBA frames: the MP4's own bytes depend on the encoder's threads.
 */
import { createHash, type Hash } from "node:crypto";
import { Sha256Hex } from "#protocol/id.ts";
import { thumbnailHeader } from "#protocol/mp4-thumbnail.ts";
import { writeAll, writeWhole } from "../whole-file.ts";
import { BYTES_PER_PIXEL, openEncoder } from "./encode-mp4.ts";
import { thumbnailOf } from "./thumbnail.ts";

const REPORT_MS = 100;

export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly fps: number;
  readonly frames: number;
}

export interface FrameSource {
  /** Writes frame `frame` as opaque RGBA; they are asked for in order. */
  paint(frame: number, rgba: Uint8ClampedArray): void | Promise<void>;
  /** True ends it between two frames. */
  stopped(): boolean;
  /** So many frames are done; `ms` is what the last one took. */
  progress(done: number, ms: number): void;
}

export interface WrittenMp4 {
  readonly bytes: number;
  readonly sha256: Sha256Hex;
  readonly framesSha256: Sha256Hex;
}

/** Null if it was stopped; then there is no file. */
export async function writeMp4(path: string, picture: Picture, source: FrameSource): Promise<WrittenMp4 | null> {
  const { width, height, fps, frames } = picture;
  const encoder = openEncoder(width, height, fps);
  const rgba = new Uint8ClampedArray(width * height * BYTES_PER_PIXEL);
  const hash = createHash("sha256");
  let thumbnail: Uint8Array = new Uint8Array(0);
  let reportedAt = performance.now();
  try {
    for (let frame = 0; frame < frames; frame++) {
      if (source.stopped()) return null;
      const from = performance.now();
      await source.paint(frame, rgba);
      hash.update(rgba);
      // The middle one: a first frame is often a reference image, or black.
      if (frame === Math.floor(frames / 2)) thumbnail = await thumbnailOf(rgba, width, height);
      await encoder.add(rgba);
      const now = performance.now();
      if (now - reportedAt >= REPORT_MS || frame === frames - 1) {
        reportedAt = now;
        source.progress(frame + 1, now - from);
        await new Promise(setImmediate);
      }
    }
    const mp4 = await encoder.finish();
    const whole = await writeParts(path, [mp4, thumbnailHeader(thumbnail.length), thumbnail]);
    return { ...whole, framesSha256: digestOf(hash) };
  } finally {
    encoder.close();
  }
}

/** Part by part: a long video is not copied for the sake of its thumbnail. */
async function writeParts(path: string, parts: readonly Uint8Array[]): Promise<Omit<WrittenMp4, "framesSha256">> {
  const hash = createHash("sha256");
  await writeWhole(path, async (file) => {
    for (const part of parts) {
      hash.update(part);
      await writeAll(file, part);
    }
  });
  return { bytes: parts.reduce((sum, part) => sum + part.length, 0), sha256: digestOf(hash) };
}

function digestOf(hash: Hash): Sha256Hex {
  return Sha256Hex.parse(hash.digest("hex"));
}
