/** Files to and from lease-bound URLs, streamed: a PUT announces its SHA-256, a GET is checked against one. */
import { createHash } from "node:crypto";
import { createWriteStream, openAsBlob } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as pause } from "node:timers/promises";
import type { Sha256Hex } from "#protocol/id.ts";

const TRIES_MAX = 4;
const RETRY_MS = 200;
const FILE_BYTES_MAX = 4 * 1024 ** 3;

/** `final`: another try with the same URL cannot help. */
export class TransferError extends Error {
  override readonly name = "TransferError";
  readonly final: boolean;
  constructor(message: string, final: boolean, options?: ErrorOptions) {
    super(message, options);
    this.final = final;
  }
}

export function putFile(
  path: string,
  bytes: number,
  sha256: Sha256Hex,
  url: string,
  signal: AbortSignal,
): Promise<void> {
  return withRetries(signal, async () => {
    // A blob of the file streams from disk and, unlike a bare stream, lets fetch send its length.
    const body = await openAsBlob(path);
    const headers = { "content-length": String(bytes), "x-content-sha256": sha256 };
    const response = await fetch(url, { method: "PUT", headers, body, signal });
    await response.body?.cancel();
    if (!response.ok) throw refused("PUT", response.status);
  });
}

/** The file is under `path` only if it is whole and right. */
export function getFile(url: string, sha256: Sha256Hex, path: string, signal: AbortSignal): Promise<void> {
  return withRetries(signal, async () => {
    const response = await fetch(url, { signal });
    if (!response.ok || response.body === null) throw refused("GET", response.status);
    const hash = createHash("sha256");
    let bytes = 0;
    const check = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        hash.update(chunk);
        bytes += chunk.length;
        if (bytes > FILE_BYTES_MAX) done(new TransferError("the file is larger than any we know", true));
        else done(null, chunk);
      },
    });
    const part = `${path}.part`;
    await pipeline(Readable.fromWeb(response.body), check, createWriteStream(part), { signal });
    if (hash.digest("hex") !== sha256) {
      await rm(part, { force: true });
      throw new TransferError("the file's SHA-256 is not the announced one", false);
    }
    await rename(part, path);
  });
}

function refused(method: string, status: number): TransferError {
  const final = status >= 400 && status < 500 && status !== 408 && status !== 429;
  return new TransferError(`${method} was answered ${status}`, final);
}

async function withRetries(signal: AbortSignal, attempt: () => Promise<void>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await attempt();
    } catch (cause) {
      signal.throwIfAborted();
      const final = cause instanceof TransferError && cause.final;
      if (final || tries >= TRIES_MAX) throw new TransferError(`transfer failed: ${reasonOf(cause)}`, final, { cause });
      await pause(RETRY_MS * 2 ** (tries - 1) * (0.5 + Math.random()), undefined, { signal });
    }
  }
}

function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  return cause.cause instanceof Error ? `${cause.message}: ${cause.cause.message}` : cause.message;
}
