/**
 * A process that makes one MP4 of a file of raw RGB frames, so that an encoder which crashes takes nothing with it. Its
 * argument is an `EncodeOrder` as JSON; it answers over the fork's channel, and dies with its parent.
 */
import { open } from "node:fs/promises";
import { reasonOf } from "../storage-fault.ts";
import type { EncodeAnswer, EncodeOrder } from "./encode-process.ts";
import { writeMp4 } from "./write-mp4.ts";

const RGB_BYTES = 3;

process.on("disconnect", () => process.exit(0));
// The runner decides when its children end; a Ctrl-C in the terminal reaches the whole group.
process.on("SIGINT", () => undefined);

/** Resolves when it is on its way. */
function tell(answer: EncodeAnswer): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined) resolve();
    else process.send(answer, () => resolve());
  });
}

async function encode({ framesPath, path, picture }: EncodeOrder): Promise<void> {
  const { width, height, frames } = picture;
  await using file = await open(framesPath);
  const rgb = new Uint8Array(width * height * RGB_BYTES);
  const written = await writeMp4(path, picture, {
    async paint(frame, rgba) {
      for (let at = 0; at < rgb.length;) {
        const { bytesRead } = await file.read(rgb, at, rgb.length - at, frame * rgb.length + at);
        if (bytesRead === 0) throw new Error(`the file of frames ends within frame ${frame} of ${frames}`);
        at += bytesRead;
      }
      for (let pixel = 0, from = 0, to = 0; pixel < width * height; pixel++) {
        rgba[to++] = rgb[from++] ?? 0;
        rgba[to++] = rgb[from++] ?? 0;
        rgba[to++] = rgb[from++] ?? 0;
        rgba[to++] = 255;
      }
    },
    stopped: () => false,
    progress: (done, ms) => void tell({ t: "frames", done, ms }),
  });
  if (written !== null) await tell({ t: "written", written });
}

const [text = ""] = process.argv.slice(2);
try {
  await encode(JSON.parse(text) as EncodeOrder);
} catch (fault) {
  await tell({ t: "failed", detail: reasonOf(fault) });
}
process.disconnect?.();
