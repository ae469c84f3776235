/** The artifact store on a local disk: temp file, fsync, hash check, rename, fsync of the folder. */
import { createHash, randomUUID } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, open, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { invariant } from "#protocol/invariant.ts";
import type { ArtifactStore, PutOutcome, StoredObject } from "./artifact-store.ts";

const KEY = /^[a-z]+(?:\/[A-Za-z0-9_]+)*\/[A-Za-z0-9_]+(?:\.[a-z0-9]+)?$/;

/** No space, no quota, a file system that was made read-only. */
const FULL: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT", "EROFS"]);

class TooLargeError extends Error {
  override readonly name = "TooLargeError";
}

export class DiskStore implements ArtifactStore {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  async put(
    key: string,
    body: Readable,
    expected: { readonly sha256: string; readonly bytesMax: number },
  ): Promise<PutOutcome> {
    const target = this.#path(key);
    const temporary = join(this.#root, "incoming", randomUUID());
    try {
      await Promise.all([mkdir(dirname(target), { recursive: true }), mkdir(dirname(temporary), { recursive: true })]);
      const written = await writeHashed(body, temporary, expected.bytesMax);
      if (written.sha256 !== expected.sha256) return { ok: false, refusal: "wrong_hash" };
      await sync(temporary);
      await rename(temporary, target);
      await sync(dirname(target));
      return { ok: true, bytes: written.bytes };
    } catch (error) {
      if (error instanceof TooLargeError) return { ok: false, refusal: "too_large" };
      if (FULL.has(codeOf(error))) return { ok: false, refusal: "full" };
      throw error;
    } finally {
      await rm(temporary, { force: true });
    }
  }

  async stat(key: string): Promise<StoredObject | null> {
    try {
      const found = await stat(this.#path(key));
      return { bytes: found.size, checksum: null };
    } catch (error) {
      if (codeOf(error) === "ENOENT") return null;
      throw error;
    }
  }

  read(key: string, range: { readonly start: number; readonly end: number }): Readable {
    return createReadStream(this.#path(key), range);
  }

  async remove(key: string): Promise<void> {
    await rm(this.#path(key), { force: true });
  }

  #path(key: string): string {
    invariant(KEY.test(key), "store keys are made by the store's own functions");
    return join(this.#root, key);
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}

async function writeHashed(body: Readable, path: string, bytesMax: number) {
  const hash = createHash("sha256");
  let bytes = 0;
  const measure = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      if (bytes > bytesMax) return done(new TooLargeError(`more than ${bytesMax} bytes`));
      hash.update(chunk);
      done(null, chunk);
    },
  });
  await pipeline(body, measure, createWriteStream(path));
  return { bytes, sha256: hash.digest("hex") };
}

async function sync(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
