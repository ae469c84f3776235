/** Finds the thumbnail that a stored MP4 carries (`protocol/mp4-thumbnail.ts`): a walk over its top-level boxes, a few bytes of each. */
import { buffer } from "node:stream/consumers";
import { isThumbnail, THUMBNAIL_HEADER_BYTES } from "#protocol/mp4-thumbnail.ts";
import type { ArtifactStore } from "./artifact-store.ts";

/** An MP4 of an engine has four. */
const BOXES_MAX = 16;
const HEAD_BYTES_MIN = 8;

/** Its bytes, both inclusive; null if it has none. The file is a runner's: no size in it is believed. */
export async function thumbnailRange(
  store: ArtifactStore,
  key: string,
  bytes: number,
): Promise<{ readonly start: number; readonly end: number } | null> {
  let at = 0;
  for (let box = 0; box < BOXES_MAX && at + HEAD_BYTES_MIN <= bytes; box++) {
    const end = Math.min(at + THUMBNAIL_HEADER_BYTES, bytes) - 1;
    const head = await buffer(store.read(key, { start: at, end }));
    const size = sizeOf(head, bytes - at);
    if (size === null || at + size > bytes) return null;
    if (isThumbnail(head)) {
      return size > THUMBNAIL_HEADER_BYTES ? { start: at + THUMBNAIL_HEADER_BYTES, end: at + size - 1 } : null;
    }
    at += size;
  }
  return null;
}

/** 0 means "to the end", 1 that 64 bits follow the type. */
function sizeOf(head: Buffer, left: number): number | null {
  const small = head.readUInt32BE(0);
  if (small === 0) return left;
  if (small !== 1) return small >= HEAD_BYTES_MIN ? small : null;
  if (head.length < 16) return null;
  const large = head.readBigUInt64BE(8);
  return large >= 16n && large <= BigInt(left) ? Number(large) : null;
}
