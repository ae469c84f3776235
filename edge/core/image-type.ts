/** What an image really is, by its first bytes; what a client calls it is not asked. */
import type { InputReference } from "#protocol/create-video.ts";

export const MAGIC_BYTES = 12;

export function imageType(head: Uint8Array): InputReference["media_type"] | null {
  if (startsWith(head, [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])) return "image/png";
  if (startsWith(head, [0xff, 0xd8, 0xff])) return "image/jpeg";
  const riff = startsWith(head, [0x52, 0x49, 0x46, 0x46]);
  if (riff && startsWith(head.subarray(8), [0x57, 0x45, 0x42, 0x50])) return "image/webp";
  return null;
}

function startsWith(bytes: Uint8Array, prefix: readonly number[]): boolean {
  return prefix.every((byte, index) => bytes[index] === byte);
}
