/** The body of `POST /v1/videos`, multipart or JSON → one checked `CreateVideo`, or a refusal in the client's own words. */
import { CREATE_BODY_BYTES_MAX, CreateVideo } from "#protocol/create-video.ts";
import { type Refusal, refusalOf } from "#protocol/error.ts";
import { inBrackets, objectOfForm } from "./core/form.ts";
import { JSON_DEPTH_MAX, JSON_VALUES_MAX, jsonShape } from "./core/json-shape.ts";
import { readInputReference } from "./input-reference.ts";
import { readBytes } from "./read-bytes.ts";

export type Read<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly refusal: Refusal };

export async function readCreateVideo(
  request: Request,
  maxBytes: number = CREATE_BODY_BYTES_MAX,
): Promise<Read<CreateVideo>> {
  const type = mediaTypeOf(request);
  if (type === "application/json") return toCreateVideo(await readJson(request, maxBytes));
  if (type !== "multipart/form-data") {
    const message = "Send 'multipart/form-data' or 'application/json'.";
    return { ok: false, refusal: { code: "unsupported_media_type", message } };
  }
  const read = await toCreateVideo(await readForm(request, maxBytes));
  return read.ok ? read : { ok: false, refusal: inBrackets(read.refusal) };
}

/** A JSON body of any route; anything but JSON is 415. */
export async function readJson(request: Request, maxBytes: number): Promise<Read<unknown>> {
  if (mediaTypeOf(request) !== "application/json") {
    return { ok: false, refusal: { code: "unsupported_media_type", message: "Send 'application/json'." } };
  }
  const bytes = await readBytes(request.body, maxBytes);
  if (bytes === null) return tooLarge(maxBytes);
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes);
    const { depth, values } = jsonShape(text);
    if (depth > JSON_DEPTH_MAX) return broken(`The JSON nests deeper than ${JSON_DEPTH_MAX} levels.`);
    if (values > JSON_VALUES_MAX) return broken(`The JSON holds more than ${JSON_VALUES_MAX} values.`);
    return { ok: true, value: JSON.parse(text) };
  } catch {
    return broken("The request body is not valid JSON."); // Neither decoder says more than that.
  }
}

/** The same where the body may be left out: then it is an empty object. */
export async function readOptionalJson(request: Request, maxBytes: number): Promise<Read<unknown>> {
  if (request.body === null || request.headers.get("content-length") === "0") return { ok: true, value: {} };
  return readJson(request, maxBytes);
}

async function readForm(request: Request, maxBytes: number): Promise<Read<unknown>> {
  const bytes = await readBytes(request.body, maxBytes);
  if (bytes === null) return tooLarge(maxBytes);
  try {
    const headers = { "content-type": request.headers.get("content-type") ?? "" };
    return objectOfForm(await new Response(bytes, { headers }).formData());
  } catch {
    return broken("The request body is not valid multipart/form-data."); // The parser has no finer reasons.
  }
}

async function toCreateVideo(body: Read<unknown>): Promise<Read<CreateVideo>> {
  if (!body.ok) return body;
  let { value } = body;
  if (typeof value === "object" && value !== null && "input_reference" in value) {
    const reference = await readInputReference(value.input_reference);
    if (!reference.ok) return reference;
    value = { ...value, input_reference: reference.value };
  }
  const proto = protoIn(value);
  if (proto !== null) return { ok: false, refusal: proto };
  const video = CreateVideo.safeParse(value);
  return video.success ? { ok: true, value: video.data } : { ok: false, refusal: refusalOf(video.error) };
}

/** The schema's map would drop a key of this name in silence. */
function protoIn(value: unknown): Refusal | null {
  if (typeof value !== "object" || value === null || !("metadata" in value)) return null;
  const { metadata } = value;
  if (typeof metadata !== "object" || metadata === null || !Object.hasOwn(metadata, "__proto__")) return null;
  const param = "metadata.__proto__";
  return { code: "unknown_parameter", message: `Unknown parameter: '${param}'.`, param };
}

function mediaTypeOf(request: Request): string {
  return (request.headers.get("content-type") ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
}

function tooLarge(maxBytes: number): { ok: false; refusal: Refusal } {
  const message = `The request body may have at most ${maxBytes} bytes.`;
  return { ok: false, refusal: { code: "file_too_large", message } };
}

function broken(message: string): { ok: false; refusal: Refusal } {
  return { ok: false, refusal: { code: "invalid_body", message } };
}
