/** The still image of a create, in any of the ways a client may send it → `{media_type, data}`, or the reason why not. */
import type { Refusal } from "#protocol/error.ts";
import { imageType, MAGIC_BYTES } from "./core/image-type.ts";

const PARAM = "input_reference";
/** The base64 text that holds the magic bytes. */
const MAGIC_CHARS = (MAGIC_BYTES / 3) * 4;
const DATA_URL = /^data:[^,;]{0,100}(?:;[^,;]{1,100})*;base64,/i;

export type ReferenceRead =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly refusal: Refusal };

/** Shapes it does not know are handed on as they are: `CreateVideo` refuses them. */
export async function readInputReference(value: unknown): Promise<ReferenceRead> {
  if (value instanceof File) return fromFile(value);
  if (typeof value !== "object" || value === null) return { ok: true, value };
  if ("file_id" in value) return refuse("unsupported_operation", "file_id", "uploaded files are not supported.");
  if ("image_url" in value) return fromUrl(value.image_url);
  if ("data" in value && typeof value.data === "string") return typed(value.data, "data", value);
  return { ok: true, value };
}

async function fromFile(file: File): Promise<ReferenceRead> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const type = imageType(bytes.subarray(0, MAGIC_BYTES));
  if (type === null) return refuse("invalid_value", null, "must be a PNG, JPEG or WebP image.");
  return { ok: true, value: { media_type: type, data: bytes.toBase64() } };
}

function fromUrl(url: unknown): ReferenceRead {
  if (typeof url !== "string") return refuse("invalid_value", "image_url", "must be text.");
  if (/^https?:/i.test(url)) {
    return refuse("unsupported_operation", "image_url", "web addresses are not supported; send a data: URL or a file.");
  }
  const head = DATA_URL.exec(url)?.[0];
  if (head === undefined) return refuse("invalid_value", "image_url", "must be a base64 data: URL.");
  return typed(url.slice(head.length), "image_url", {});
}

/** The bytes decide the type; what the client called it only survives if it is right. */
function typed(data: string, key: string, rest: object): ReferenceRead {
  const head = decodeHead(data);
  const type = head === null ? null : imageType(head);
  if (type === null) return refuse("invalid_value", key, "must be a PNG, JPEG or WebP image in base64.");
  return { ok: true, value: { ...rest, media_type: type, data } };
}

function decodeHead(data: string): Uint8Array | null {
  try {
    return Uint8Array.fromBase64(data.slice(0, MAGIC_CHARS));
  } catch {
    return null; // Not base64: no image either.
  }
}

function refuse(code: "invalid_value" | "unsupported_operation", key: string | null, what: string): ReferenceRead {
  const param = key === null ? PARAM : `${PARAM}.${key}`;
  const verb = code === "invalid_value" ? "Invalid" : "Unsupported";
  return { ok: false, refusal: { code, message: `${verb} '${param}': ${what}`, param } };
}
