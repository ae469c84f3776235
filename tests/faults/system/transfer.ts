/** In place of `gpu-runner/transfer.ts`: the same tries and pauses, to the simulated store. */
import type { Sha256Hex } from "#protocol/id.ts";
import { theWorld, thisProcess } from "../kernel/running.ts";
import { WrongBytesError } from "../world/store.ts";
import { readRendering, writeRendering } from "./files.ts";
import { setTimeout } from "./globals.ts";

const TRIES_MAX = 4;
const RETRY_MS = 200;

/** As the real one: the bytes are not those that were announced. */
export class WrongHashError extends Error {
  override readonly name = "WrongHashError";
}

export function putFile(
  path: string,
  bytes: number,
  sha256: Sha256Hex,
  url: string,
  signal: AbortSignal,
  beforeTry: () => void = () => undefined,
): Promise<void> {
  const rendering = readRendering(path);
  return withRetries(signal, async () => {
    beforeTry();
    signal.throwIfAborted();
    if (rendering === null) throw new Error(`${path} is not on the disk`);
    await theWorld().store.put(thisProcess(), url, rendering, sha256, bytes);
  });
}

export function getFile(url: string, sha256: Sha256Hex, path: string, signal: AbortSignal): Promise<void> {
  return withRetries(signal, async () => {
    writeRendering(path, await theWorld().store.get(thisProcess(), url, sha256));
  });
}

async function withRetries(signal: AbortSignal, attempt: () => Promise<void>): Promise<void> {
  for (let tries = 1; ; tries++) {
    signal.throwIfAborted();
    try {
      return await attempt();
    } catch (cause) {
      signal.throwIfAborted();
      if (tries >= TRIES_MAX && cause instanceof WrongBytesError) throw new WrongHashError(cause.message, { cause });
      if (tries >= TRIES_MAX) throw new Error(`transfer failed: ${String(cause)}`, { cause });
      const { chance } = theWorld().kernel;
      const pauseMs = RETRY_MS * 2 ** (tries - 1) * (0.5 + chance.unit());
      await new Promise<void>((resolve) => setTimeout(resolve, pauseMs));
    }
  }
}
