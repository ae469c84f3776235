/**
 * The safetensors container: 8 bytes header length, a JSON header, then raw little-endian tensors. Only what checkpoints
 * need: named float32 vectors and text metadata. Reading runs no code and trusts no offset.
 */
import { createHash } from "node:crypto";
import { type FileHandle, open, rename } from "node:fs/promises";
import { endianness } from "node:os";
import { z } from "zod";
import { Sha256Hex } from "#protocol/id.ts";
import { invariant } from "#protocol/invariant.ts";

export const HEADER_BYTES_MAX = 1024 * 1024;
const PIECE_BYTES = 4 * 1024 * 1024;

export type Tensors = Readonly<Record<string, Float32Array>>;

const Entry = z.object({
  dtype: z.literal("F32"),
  shape: z.array(z.int().nonnegative()).length(1),
  data_offsets: z.tuple([z.int().nonnegative(), z.int().nonnegative()]),
});
const Header = z.object({ __metadata__: z.record(z.string(), z.string()) }).catchall(Entry);

/** Writes to a temporary name, syncs, renames; so a file under `path` is always whole. */
export async function writeTensors(
  path: string,
  metadata: Readonly<Record<string, string>>,
  tensors: Tensors,
): Promise<{ sha256: Sha256Hex; bytes: number }> {
  invariant(endianness() === "LE", "tensors are written as they lie in memory, which must be little-endian");
  const head = encodeHeader(metadata, tensors);
  const hash = createHash("sha256");
  let bytes = 0;
  const temporary = `${path}.part`;
  const file = await open(temporary, "w");
  try {
    for (const chunk of [head, ...Object.values(tensors).map(bytesOf)]) {
      for (let at = 0; at < chunk.length; at += PIECE_BYTES) {
        const piece = chunk.subarray(at, at + PIECE_BYTES);
        hash.update(piece);
        await writeAll(file, piece);
        bytes += piece.length;
      }
    }
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  return { sha256: Sha256Hex.parse(hash.digest("hex")), bytes };
}

/** Reads the tensors named in `lengths` (name → float32 values), which must be exactly those in the file. */
export async function readTensors(
  path: string,
  lengths: Readonly<Record<string, number>>,
): Promise<{ metadata: Readonly<Record<string, string>>; tensors: Record<string, Float32Array<ArrayBuffer>> }> {
  const file = await open(path, "r");
  try {
    const prefix = new Uint8Array(8);
    await readAll(file, prefix, 0);
    const headerBytes = Number(new DataView(prefix.buffer).getBigUint64(0, true));
    if (headerBytes > HEADER_BYTES_MAX) throw new Error(`safetensors header of ${headerBytes} bytes is too long`);
    const text = new Uint8Array(headerBytes);
    await readAll(file, text, 8);
    const { __metadata__: metadata, ...entries } = Header.parse(JSON.parse(new TextDecoder().decode(text)));
    const tensors: Record<string, Float32Array<ArrayBuffer>> = {};
    for (const [name, length] of Object.entries(lengths)) {
      const entry = (entries as Record<string, z.infer<typeof Entry>>)[name];
      if (
        entry === undefined ||
        entry.shape[0] !== length ||
        entry.data_offsets[1] - entry.data_offsets[0] !== 4 * length
      ) {
        throw new Error(`safetensors file has no tensor "${name}" of ${length} values`);
      }
      const values = new Float32Array(length);
      await readAll(file, bytesOf(values), 8 + headerBytes + entry.data_offsets[0]);
      tensors[name] = values;
    }
    return { metadata, tensors };
  } finally {
    await file.close();
  }
}

export function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** The header is padded with spaces so that tensors start on 8 bytes. */
function encodeHeader(metadata: Readonly<Record<string, string>>, tensors: Tensors): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: metadata };
  let at = 0;
  for (const [name, values] of Object.entries(tensors)) {
    header[name] = { dtype: "F32", shape: [values.length], data_offsets: [at, at + values.byteLength] };
    at += values.byteLength;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const padded = Math.ceil(json.length / 8) * 8;
  const out = new Uint8Array(8 + padded).fill(0x20);
  new DataView(out.buffer).setBigUint64(0, BigInt(padded), true);
  out.set(json, 8);
  return out;
}

async function writeAll(file: FileHandle, piece: Uint8Array): Promise<void> {
  for (let at = 0; at < piece.length;) at += (await file.write(piece, at, piece.length - at)).bytesWritten;
}

async function readAll(file: FileHandle, into: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < into.length;) {
    const length = Math.min(PIECE_BYTES, into.length - at);
    const { bytesRead } = await file.read(into, at, length, position + at);
    if (bytesRead === 0) throw new Error("safetensors file ends early");
    at += bytesRead;
  }
}
