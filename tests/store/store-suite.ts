/** What every store promises. A store's own test file calls `keeps` with how to open one. */
import { createHash, randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import type { ArtifactStore } from "#control-plane/store/artifact-store.ts";
import { storeKeyOf } from "#control-plane/store/artifact-store.ts";
import { Sha256Hex } from "#protocol/id.ts";

/** More than two parts of an upload in parts, and no whole number of them. */
const LARGE_BYTES = 20 * 1024 * 1024 + 7;

export function hashOf(body: string | Uint8Array): Sha256Hex {
  return Sha256Hex.parse(createHash("sha256").update(body).digest("hex"));
}

export function putInto(store: ArtifactStore, key: string, body: string, sha256 = hashOf(body), bytesMax = 1_000) {
  return store.put(key, Readable.from([Buffer.from(body)]), { sha256, bytesMax });
}

export function keeps(name: string, open: () => ArtifactStore): void {
  const keyOf = (job: string, body: string | Uint8Array) => storeKeyOf({ job, epoch: 1 }, "artifact", hashOf(body));

  describe(`${name}: a file`, () => {
    test("what was put is read back, whole or in part, until it is removed", async () => {
      const store = open();
      const key = keyOf("video_1", "a film");
      expect(await putInto(store, key, "a film")).toEqual({ ok: true, bytes: 6 });
      expect(await store.stat(key)).toMatchObject({ bytes: 6 });
      expect(await text(store.read(key, { start: 0, end: 5 }))).toBe("a film");
      expect(await text(store.read(key, { start: 2, end: 3 }))).toBe("fi");
      await store.remove(key);
      expect(await store.stat(key)).toBeNull();
      // Whoever swept it before was interrupted.
      await store.remove(key);
    });

    test("a large file comes back byte for byte, from any place in it", async () => {
      const store = open();
      const film = randomBytes(LARGE_BYTES);
      const key = keyOf("video_large", film);
      const body = Readable.from(chunksOf(film, 100_000));
      expect(await store.put(key, body, { sha256: hashOf(film), bytesMax: LARGE_BYTES })).toEqual({
        ok: true,
        bytes: LARGE_BYTES,
      });
      expect(hashOf(await buffer(store.read(key, { start: 0, end: LARGE_BYTES - 1 })))).toBe(hashOf(film));
      const [start, end] = [8 * 1024 * 1024 - 3, 8 * 1024 * 1024 + 4];
      expect(await buffer(store.read(key, { start, end }))).toEqual(film.subarray(start, end + 1));
    });

    test("bytes with another hash, too many of them, or a broken stream leave nothing behind", async () => {
      const store = open();
      const key = keyOf("video_2", "promised");
      expect(await putInto(store, key, "delivered", hashOf("promised"))).toEqual({ ok: false, refusal: "wrong_hash" });
      expect(await putInto(store, key, "promised", hashOf("promised"), 4)).toEqual({ ok: false, refusal: "too_large" });
      const large = randomBytes(LARGE_BYTES);
      const otherwise = { sha256: hashOf("promised"), bytesMax: LARGE_BYTES };
      expect(await store.put(key, Readable.from(chunksOf(large, 100_000)), otherwise)).toEqual({
        ok: false,
        refusal: "wrong_hash",
      });
      await expect(store.put(key, breakingOff(large), otherwise)).rejects.toThrow("the runner died");
      expect(await store.stat(key)).toBeNull();
    });

    test("what is not there cannot be read, and a reader who leaves takes nobody with him", async () => {
      const store = open();
      const key = keyOf("video_3", "a film");
      await expect(text(store.read(key, { start: 0, end: 5 }))).rejects.toThrow();
      await putInto(store, key, "a film");
      store.read(key, { start: 0, end: 5 }).destroy();
      expect(await text(store.read(key, { start: 0, end: 5 }))).toBe("a film");
    });
  });
}

function* chunksOf(bytes: Buffer, size: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

function breakingOff(bytes: Buffer): Readable {
  return Readable.from(
    (function* cut() {
      yield* chunksOf(bytes.subarray(0, 9 * 1024 * 1024), 100_000);
      throw new Error("the runner died");
    })(),
  );
}
