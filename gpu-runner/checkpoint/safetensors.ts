/**
 * The safetensors container: 8 bytes header length, a JSON header, then raw little-endian tensors. Only what checkpoints
 * need: named tensors, read and written here as float32 or only hashed, and text metadata. Reading runs no code, trusts
 * no offset, and takes memory only for what the caller accepts.
 */
import { createHash, type Hash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { endianness } from "node:os";
import { z } from "zod";
import { Sha256Hex } from "#protocol/id.ts";
import { invariant } from "#protocol/invariant.ts";
import { withFile, writeAll, writeWhole } from "../whole-file.ts";
import { CheckpointError } from "./checkpoint-error.ts";

export const HEADER_BYTES_MAX = 1024 * 1024;
const PREFIX_BYTES = 8;
const PIECE_BYTES = 4 * 1024 * 1024;
/** The types of numbers that occur in checkpoints. */
const DTYPE_BYTES: ReadonlyMap<string, number> = new Map([
  ["F64", 8],
  ["F32", 4],
  ["F16", 2],
  ["BF16", 2],
  ["I64", 8],
  ["I32", 4],
  ["U8", 1],
  ["BOOL", 1],
]);

export interface Tensor {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}
export type Tensors = Readonly<Record<string, Tensor>>;

/** What a file says of itself, before its tensors are read. */
export interface TensorHeader {
  readonly metadata: Readonly<Record<string, string>>;
  /** In the order of the file. */
  readonly tensors: readonly TensorEntry[];
  /** All tensors together. */
  readonly bytes: number;
}

export interface TensorEntry {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
}

const Entry = z.object({
  dtype: z.string(),
  shape: z.array(z.int().nonnegative()),
  data_offsets: z.tuple([z.int().nonnegative(), z.int().nonnegative()]),
});
const Header = z.object({ __metadata__: z.record(z.string(), z.string()).optional() }).catchall(Entry);

/** Resolves with the hash and size of the whole file. */
export function writeTensors(
  path: string,
  metadata: Readonly<Record<string, string>>,
  tensors: Tensors,
): Promise<{ sha256: Sha256Hex; bytes: number }> {
  invariant(endianness() === "LE", "tensors are written as they lie in memory, which must be little-endian");
  const head = encodeHeader(metadata, tensors);
  return writeWhole(path, async (file) => {
    const hash = createHash("sha256");
    let bytes = 0;
    for (const piece of pieces([head, ...Object.values(tensors).map(({ values }) => bytesOf(values))])) {
      hash.update(piece);
      await writeAll(file, piece);
      bytes += piece.length;
    }
    return { sha256: Sha256Hex.parse(hash.digest("hex")), bytes };
  });
}

/** Of the tensors' bytes alone, in their order; lets the event loop turn, as a large picture takes a while. */
export async function hashTensors(tensors: Tensors): Promise<Sha256Hex> {
  const hash = createHash("sha256");
  for (const piece of pieces(Object.values(tensors).map(({ values }) => bytesOf(values)))) {
    hash.update(piece);
    await new Promise(setImmediate);
  }
  return Sha256Hex.parse(hash.digest("hex"));
}

/**
 * Float32 tensors and nothing else. `accept` sees the header first, and throws if this is not the file it wants; what it
 * makes of it comes back too.
 */
export function readTensors<Accepted>(
  path: string,
  accept: (header: TensorHeader) => Accepted,
): Promise<{
  accepted: Accepted;
  tensors: ReadonlyMap<string, Float32Array<ArrayBuffer>>;
  sha256: Sha256Hex;
}> {
  return withFile(path, "r", async (file) => {
    const { header, dataAt } = await readHeader(file);
    const accepted = accept(header);
    const hash = createHash("sha256");
    const tensors = new Map<string, Float32Array<ArrayBuffer>>();
    let at = dataAt;
    for (const { name, dtype, shape } of header.tensors) {
      if (dtype !== "F32") throw new CheckpointError("wrong_tensors", `"${name}" is of ${dtype}, not F32`);
      const values = new Float32Array(lengthOf(shape));
      await readAll(file, bytesOf(values), at, hash);
      tensors.set(name, values);
      at += values.byteLength;
    }
    return { accepted, tensors, sha256: Sha256Hex.parse(hash.digest("hex")) };
  });
}

/** As `readTensors`, of any type, for those who leave the reading to somebody else: only the hash of the bytes is made. */
export function hashStored<Accepted>(
  path: string,
  accept: (header: TensorHeader) => Accepted,
): Promise<{ accepted: Accepted; sha256: Sha256Hex }> {
  return withFile(path, "r", async (file) => {
    const { header, dataAt } = await readHeader(file);
    const accepted = accept(header);
    const hash = createHash("sha256");
    const piece = new Uint8Array(Math.min(PIECE_BYTES, header.bytes));
    for (let at = 0; at < header.bytes; at += piece.length) {
      await readAll(file, piece.subarray(0, Math.min(piece.length, header.bytes - at)), dataAt + at, hash);
    }
    return { accepted, sha256: Sha256Hex.parse(hash.digest("hex")) };
  });
}

export function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

async function readHeader(file: FileHandle): Promise<{ header: TensorHeader; dataAt: number }> {
  const { size } = await file.stat();
  const prefix = new Uint8Array(PREFIX_BYTES);
  await readAll(file, prefix, 0, null);
  const said = new DataView(prefix.buffer).getBigUint64(0, true);
  if (said > BigInt(HEADER_BYTES_MAX)) {
    // Eight bytes of any other format make an absurd length.
    if (said > BigInt(size)) throw new CheckpointError("not_safetensors", `a header of ${said} bytes in ${size}`);
    throw new CheckpointError("header_too_large", `a header of ${said} bytes`);
  }
  const dataAt = PREFIX_BYTES + Number(said);
  if (dataAt > size) throw new CheckpointError("truncated", `${size} bytes, and its header needs ${dataAt}`);
  const text = new Uint8Array(Number(said));
  await readAll(file, text, PREFIX_BYTES, null);
  return { header: parseHeader(text, size - dataAt), dataAt };
}

function parseHeader(text: Uint8Array, bytes: number): TensorHeader {
  const { __metadata__: metadata = {}, ...entries } = parseJson(text);
  const tensors = Object.entries(entries as Record<string, z.infer<typeof Entry>>).toSorted(
    ([, a], [, b]) => a.data_offsets[0] - b.data_offsets[0],
  );
  let end = 0;
  for (const [name, { dtype, shape, data_offsets: offsets }] of tensors) {
    const width = DTYPE_BYTES.get(dtype);
    if (width === undefined || offsets[0] !== end || offsets[1] - offsets[0] !== lengthOf(shape) * width) {
      const found = JSON.stringify([dtype, shape, offsets]);
      throw new CheckpointError("wrong_tensors", `"${name}" is ${found}, and ${end} is where it should begin`);
    }
    end = offsets[1];
  }
  if (bytes < end) throw new CheckpointError("truncated", `${bytes} bytes of tensors, and there should be ${end}`);
  if (bytes > end) throw new CheckpointError("wrong_tensors", `${bytes - end} bytes belong to no tensor`);
  return { metadata, bytes, tensors: tensors.map(([name, { dtype, shape }]) => ({ name, dtype, shape })) };
}

function parseJson(text: Uint8Array): z.infer<typeof Header> {
  try {
    return Header.parse(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(text)));
  } catch (cause) {
    throw new CheckpointError("not_safetensors", "its header cannot be read", { cause });
  }
}

function lengthOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** The header is padded with spaces so that tensors start on 8 bytes. */
function encodeHeader(metadata: Readonly<Record<string, string>>, tensors: Tensors): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: metadata };
  let at = 0;
  for (const [name, { shape, values }] of Object.entries(tensors)) {
    invariant(lengthOf(shape) === values.length, "a tensor has as many values as its shape says");
    header[name] = { dtype: "F32", shape, data_offsets: [at, at + values.byteLength] };
    at += values.byteLength;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const padded = Math.ceil(json.length / 8) * 8;
  const out = new Uint8Array(PREFIX_BYTES + padded).fill(0x20);
  new DataView(out.buffer).setBigUint64(0, BigInt(padded), true);
  out.set(json, PREFIX_BYTES);
  return out;
}

function* pieces(chunks: readonly Uint8Array[]): Generator<Uint8Array, void, void> {
  for (const chunk of chunks) {
    for (let at = 0; at < chunk.length; at += PIECE_BYTES) yield chunk.subarray(at, at + PIECE_BYTES);
  }
}

async function readAll(file: FileHandle, into: Uint8Array, position: number, hash: Hash | null): Promise<void> {
  for (let at = 0; at < into.length;) {
    const length = Math.min(PIECE_BYTES, into.length - at);
    const { bytesRead } = await file.read(into, at, length, position + at);
    if (bytesRead === 0) throw new CheckpointError("truncated", `it ends after ${position + at} bytes`);
    hash?.update(into.subarray(at, at + bytesRead));
    at += bytesRead;
  }
}
