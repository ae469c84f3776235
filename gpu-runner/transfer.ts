/** Files to and from lease-bound URLs, streamed: a PUT announces its SHA-256, a GET is checked against one. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { request as requestHttp } from "node:http";
import type { IncomingMessage } from "node:http";
import { request as requestHttps } from "node:https";
import { pipeline } from "node:stream/promises";
import { setTimeout as pause } from "node:timers/promises";
import type { Sha256Hex } from "#protocol/id.ts";
import { CHECKSUM_HEADER, CHECKSUM_KIND } from "#protocol/runner.ts";
import { isStorageFull, reasonOf, StoreFullError } from "./storage-fault.ts";
import { writeAll, writeWhole } from "./whole-file.ts";

const TRIES_MAX = 4;
const RETRY_MS = 200;
const INSUFFICIENT_STORAGE = 507;
/** A store that neither reads nor answers for this long is given up. */
const IDLE_MS = 30_000;
const FILE_BYTES_MAX = 4 * 1024 ** 3;

/** `final`: another try with the same URL cannot help. */
export class TransferError extends Error {
  override readonly name: string = "TransferError";
  readonly final: boolean;
  constructor(message: string, final: boolean, options?: ErrorOptions) {
    super(message, options);
    this.final = final;
  }
}

/** Not what was announced, in every try: what the store holds is damaged. */
export class WrongHashError extends TransferError {
  override readonly name = "WrongHashError";
}

/** `beforeTry` may abort the signal: a try can come long after the last one if the process was stopped in between. */
export function putFile(
  path: string,
  bytes: number,
  sha256: Sha256Hex,
  url: string,
  signal: AbortSignal,
  beforeTry: () => void = () => undefined,
): Promise<void> {
  return withRetries(signal, async () => {
    beforeTry();
    signal.throwIfAborted();
    const status = await putOnce(path, bytes, sha256, new URL(url), signal);
    if (status < 200 || status >= 300) throw refused("PUT", status);
  });
}

/** A plain request with back-pressure: `fetch` holds much of a large file in memory while it sends it. */
async function putOnce(path: string, bytes: number, sha256: Sha256Hex, url: URL, signal: AbortSignal): Promise<number> {
  const send = url.protocol === "https:" ? requestHttps : requestHttp;
  const checksum = Buffer.from(sha256, "hex").toString("base64");
  const headers = { "content-length": bytes, [CHECKSUM_HEADER]: checksum, ...CHECKSUM_KIND };
  const outgoing = send(url, { method: "PUT", headers, signal, timeout: IDLE_MS });
  outgoing.on("timeout", () => outgoing.destroy(new Error(`the store was silent for ${IDLE_MS} ms`)));
  const answered = once(outgoing, "response") as Promise<[IncomingMessage]>;
  // The store may answer, or hang up, before it has everything: its answer says why, if there is one.
  const [sent, [response]] = await Promise.all([
    pipeline(createReadStream(path), outgoing).then(
      () => null,
      (error: unknown) => new TransferError("the file could not be sent", false, { cause: error }),
    ),
    answered,
  ]);
  response.resume();
  const status = response.statusCode ?? 0;
  if (sent !== null && status >= 200 && status < 300) throw sent;
  return status;
}

/** The file is under `path` only if it is whole and right. */
export function getFile(url: string, sha256: Sha256Hex, path: string, signal: AbortSignal): Promise<void> {
  return withRetries(signal, async () => {
    using silence = silenceOf(signal);
    const response = await fetch(url, { signal: silence.signal });
    const { body } = response;
    if (!response.ok || body === null) throw refused("GET", response.status);
    await writeWhole(path, async (file) => {
      const hash = createHash("sha256");
      let bytes = 0;
      for await (const chunk of body) {
        silence.heard();
        bytes += chunk.length;
        if (bytes > FILE_BYTES_MAX) throw new TransferError("the file is larger than any we know", true);
        hash.update(chunk);
        await writeAll(file, chunk);
      }
      if (hash.digest("hex") !== sha256) {
        throw new WrongHashError("the file's SHA-256 is not the announced one", false);
      }
    });
  });
}

/** Aborts when `signal` does, or when nothing was heard for too long. */
function silenceOf(signal: AbortSignal) {
  const silent = new AbortController();
  const give = () => silent.abort(new TransferError(`the store was silent for ${IDLE_MS} ms`, false));
  let timer = setTimeout(give, IDLE_MS);
  return {
    signal: AbortSignal.any([signal, silent.signal]),
    heard(): void {
      clearTimeout(timer);
      timer = setTimeout(give, IDLE_MS);
    },
    [Symbol.dispose]: () => clearTimeout(timer),
  };
}

function refused(method: string, status: number): Error {
  if (status === INSUFFICIENT_STORAGE) return new StoreFullError(`${method} was answered ${status}: the store is full`);
  const final = status >= 400 && status < 500 && status !== 408 && status !== 429;
  return new TransferError(`${method} was answered ${status}`, final);
}

async function withRetries(signal: AbortSignal, attempt: () => Promise<void>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await attempt();
    } catch (cause) {
      signal.throwIfAborted();
      const final = (cause instanceof TransferError && cause.final) || isOurDiskFull(cause);
      if (final || tries >= TRIES_MAX) {
        if (cause instanceof WrongHashError) throw cause;
        throw new TransferError(`transfer failed: ${reasonOf(cause)}`, final, { cause });
      }
      await pause(RETRY_MS * 2 ** (tries - 1) * (0.5 + Math.random()), undefined, { signal });
    }
  }
}

/** Another try finds no more room on this host; a store may be swept meanwhile. */
function isOurDiskFull(cause: unknown): boolean {
  return isStorageFull(cause) && !(cause instanceof StoreFullError);
}
