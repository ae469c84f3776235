/** Reads a request's body up to a limit, counting what arrives: a `content-length` may be absent or a lie. */

/** How much of a refused body is still taken in, so that a client that is sending gets to read the refusal. */
const DISCARD_BYTES_MAX = 32 * 1024 * 1024;

/** The client's doing: it hung up, or what it sent breaks the rules of HTTP. */
export class BrokenBodyError extends Error {
  override readonly name = "BrokenBodyError";
}

/** null: the body is larger than `maxBytes`; the rest of it is left unread. */
export async function readBytes(
  body: ReadableStream<Uint8Array> | null,
  maxBytes: number,
): Promise<Uint8Array<ArrayBuffer> | null> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of chunksOf(body, true)) {
    size += chunk.byteLength;
    if (size > maxBytes) return null;
    chunks.push(chunk);
  }
  const whole = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.byteLength;
  }
  return whole;
}

export async function discardBytes(body: ReadableStream<Uint8Array> | null): Promise<void> {
  let size = 0;
  for await (const chunk of chunksOf(body, false)) {
    size += chunk.byteLength;
    if (size > DISCARD_BYTES_MAX) return;
  }
}

/** `preventCancel`: whoever stops early leaves the rest to be read by somebody else. */
async function* chunksOf(body: ReadableStream<Uint8Array> | null, preventCancel: boolean): AsyncGenerator<Uint8Array> {
  if (body === null) return;
  try {
    for await (const chunk of body.values({ preventCancel })) yield chunk;
  } catch (cause) {
    throw new BrokenBodyError("the request's body broke off", { cause });
  }
}
