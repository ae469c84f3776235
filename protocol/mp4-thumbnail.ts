/**
 * Where a video keeps its thumbnail: a `uuid` box (ISO 14496-12) at the end of its own MP4, which players skip. So the two are one
 * artifact: one upload, one hash, one deletion. Engines may write it; whoever reads it does without where it is missing.
 */
export const THUMBNAIL_MEDIA_TYPE = "image/webp";

/** The box's extended type: 91e34108-c5c7-45ad-89d4-78a2f74777ed. */
const EXTENDED_TYPE = "91e34108c5c745ad89d478a2f74777ed";
/** Size, `uuid`, extended type. */
export const THUMBNAIL_HEADER_BYTES = 8 + EXTENDED_TYPE.length / 2;

/** What stands before a thumbnail of so many bytes. */
export function thumbnailHeader(bytes: number): Uint8Array {
  const header = new Uint8Array(THUMBNAIL_HEADER_BYTES);
  new DataView(header.buffer).setUint32(0, header.length + bytes);
  header.set(new TextEncoder().encode("uuid"), 4);
  header.set(Uint8Array.fromHex(EXTENDED_TYPE), 8);
  return header;
}

/** The first bytes of a box are those of a thumbnail's. */
export function isThumbnail(head: Uint8Array): boolean {
  return new TextDecoder().decode(head.subarray(4, 8)) === "uuid" && head.subarray(8, 24).toHex() === EXTENDED_TYPE;
}
