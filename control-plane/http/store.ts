/** The disk store behind lease-bound URLs, in the shape of presigned S3: PUT of the announced bytes and hash, GET. */
import { Readable } from "node:stream";
import { Hono } from "hono";
import {
  ARTIFACT_BYTES_MAX,
  CHECKPOINT_BYTES_MAX,
  checksumOf,
  hashNamedBy,
} from "#control-plane/store/artifact-store.ts";
import type { ArtifactStore } from "#control-plane/store/artifact-store.ts";
import type { StoreUrls } from "#control-plane/store/store-url.ts";
import { STORE_PATH } from "#control-plane/store/store-url.ts";
import { Sha256Hex } from "#protocol/id.ts";
import { CHECKSUM_HEADER } from "#protocol/runner.ts";

const REFUSALS = {
  too_large: { status: 413, text: "too large" },
  wrong_hash: { status: 422, text: "the bytes do not have this hash" },
  full: { status: 507, text: "the store is full" },
} as const;

export function storeRoutes(store: ArtifactStore, urls: StoreUrls, now: () => number) {
  const keyOf = (path: string) => path.slice(STORE_PATH.length);

  return new Hono()
    .put("/*", async (c) => {
      const key = keyOf(c.req.path);
      const grant = urls.verify("PUT", key, new URL(c.req.url).searchParams, now());
      if (grant?.method !== "PUT") return c.text("forbidden", 403);
      const checksum = c.req.header(CHECKSUM_HEADER);
      const sha256 = Sha256Hex.safeParse(hashNamedBy(key));
      if (!sha256.success || checksum === undefined || c.req.raw.body === null) {
        return c.text(`${CHECKSUM_HEADER} and a body are required`, 400);
      }
      if (checksum !== checksumOf(sha256.data)) return c.text(REFUSALS.wrong_hash.text, REFUSALS.wrong_hash.status);
      const put = await store.put(key, Readable.fromWeb(c.req.raw.body), {
        sha256: sha256.data,
        bytesMax: Math.min(grant.bytes, Math.max(ARTIFACT_BYTES_MAX, CHECKPOINT_BYTES_MAX)),
      });
      if (put.ok) return c.body(null, 200);
      return c.text(REFUSALS[put.refusal].text, REFUSALS[put.refusal].status);
    })
    .get("/*", async (c) => {
      const key = keyOf(c.req.path);
      if (urls.verify("GET", key, new URL(c.req.url).searchParams, now()) === null) return c.text("forbidden", 403);
      const stored = await store.stat(key);
      if (stored === null || stored.bytes === 0) return c.text("not found", 404);
      const body = Readable.toWeb(store.read(key, { start: 0, end: stored.bytes - 1 }));
      return new Response(body as ReadableStream, { headers: { "content-length": String(stored.bytes) } });
    });
}
