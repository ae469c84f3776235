import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import type { ArtifactStore } from "#control-plane/store/artifact-store.ts";
import { thumbnailRange } from "#control-plane/store/mp4-thumbnail.ts";
import { thumbnailHeader } from "#protocol/mp4-thumbnail.ts";

function storeOf(file: Buffer): Pick<ArtifactStore, "read"> {
  return { read: (_key, { start, end }) => Readable.from([file.subarray(start, end + 1)]) };
}

async function thumbnailIn(...parts: readonly Uint8Array[]): Promise<string | null> {
  const file = Buffer.concat(parts);
  const store = storeOf(file) as ArtifactStore;
  const range = await thumbnailRange(store, "key", file.length);
  return range === null ? null : text(store.read("key", range));
}

function box(type: string, bytes: number, size = 8 + bytes): Buffer {
  const whole = Buffer.alloc(8 + bytes);
  whole.writeUInt32BE(size);
  whole.write(type, 4, "latin1");
  return whole;
}

/** A box whose size is written in 64 bits. */
function largeBox(type: string, bytes: number, size = BigInt(16 + bytes)): Buffer {
  const whole = box(type, 8 + bytes, 1);
  whole.writeBigUInt64BE(size, 8);
  return whole;
}

const IMAGE = Buffer.from("an image");
const THUMBNAIL = Buffer.concat([thumbnailHeader(IMAGE.length), IMAGE]);

test.each([
  ["after the other boxes", [box("ftyp", 16), box("moov", 300), box("mdat", 5_000), THUMBNAIL]],
  ["after a box of more than 32 bits", [box("ftyp", 16), largeBox("mdat", 5_000), THUMBNAIL]],
  ["after somebody else's uuid box", [box("uuid", 40), THUMBNAIL]],
])("a thumbnail is found %s", async (_where, parts) => {
  expect(await thumbnailIn(...parts)).toBe("an image");
});

test.each([
  ["an empty file", []],
  ["a video without one", [box("ftyp", 16), box("moov", 300), box("mdat", 5_000)]],
  ["a thumbnail of no bytes", [thumbnailHeader(0)]],
  ["a box that ends after the file", [box("ftyp", 16, 9_000), THUMBNAIL]],
  ["a box smaller than its head", [box("ftyp", 16, 7), THUMBNAIL]],
  ["a last box that reaches to the end", [box("mdat", 100, 0), THUMBNAIL]],
  ["a size of 64 bits that is not there", [Buffer.from("0000000174657874", "hex")]],
  ["a size of 64 bits that no file has", [largeBox("mdat", 16, 0xffff_ffff_ffff_ffffn), THUMBNAIL]],
  ["a size of 64 bits that does not go on", [largeBox("mdat", 16, 0n), THUMBNAIL]],
  ["a thumbnail that was cut off", [THUMBNAIL.subarray(0, -1)]],
  ["too many boxes before it", [...Array.from({ length: 16 }, () => box("free", 0)), THUMBNAIL]],
])("nothing is found in %s", async (_what, parts) => {
  expect(await thumbnailIn(...parts)).toBeNull();
});
