import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { Hono } from "hono";
import { afterAll, beforeAll, expect, test } from "vitest";
import { checksumOf, hashNamedBy, referenceKeyOf, storeKeyOf } from "#control-plane/store/artifact-store.ts";
import { storeRoutes } from "#control-plane/http/store.ts";
import { DiskStore } from "#control-plane/store/disk-store.ts";
import { STORE_URL_MS, StoreUrls } from "#control-plane/store/store-url.ts";
import { recordCheckpoint, recordEnd } from "#control-plane/usecase/record-run.ts";
import { sweepCheckpoints } from "#control-plane/usecase/sweep-checkpoints.ts";
import type { Sha256Hex } from "#protocol/id.ts";
import { CHECKSUM_HEADER } from "#protocol/runner.ts";
import { hashOf, keeps, putInto } from "#tests/store/store-suite.ts";
import { anArtifact, Studio } from "#tests/support/studio.ts";

let studio: Studio;
let root: string;
let store: DiskStore;
beforeAll(async () => {
  studio = await Studio.open();
  root = await mkdtemp(join(tmpdir(), "callsheet-store-"));
  store = new DiskStore(root);
});
afterAll(async () => {
  await studio.close();
  await rm(root, { recursive: true, force: true });
});

const put = (key: string, body: string, sha256?: Sha256Hex) => putInto(store, key, body, sha256);

keeps("the store on a disk", () => store);

test("an upload that failed leaves no half file on the disk", async () => {
  const key = storeKeyOf({ job: "video_2", epoch: 1 }, "artifact", hashOf("promised"));
  expect((await put(key, "delivered", hashOf("promised"))).ok).toBe(false);
  expect(await readdir(join(root, "incoming"))).toEqual([]);
});

test("a store URL is good for one method, one key and a while", () => {
  const urls = new StoreUrls("http://127.0.0.1:1", "a secret of some length");
  const url = new URL(urls.sign({ method: "PUT", key: "jobs/a/1/b.mp4", bytes: 7 }, 1_700_000_000_000));
  const verify = (method: "GET" | "PUT", key: string, nowMs: number) =>
    urls.verify(method, key, url.searchParams, nowMs) !== null;
  expect(url.pathname).toBe("/store/v1/jobs/a/1/b.mp4");
  expect(verify("PUT", "jobs/a/1/b.mp4", 1_700_000_000_001)).toBe(true);
  expect(verify("GET", "jobs/a/1/b.mp4", 1_700_000_000_001)).toBe(false);
  expect(verify("PUT", "jobs/a/2/b.mp4", 1_700_000_000_001)).toBe(false);
  expect(verify("PUT", "jobs/a/1/b.mp4", 1_700_000_000_001 + STORE_URL_MS)).toBe(false);
  const other = new StoreUrls("http://127.0.0.1:1", "another secret of that length");
  expect(other.verify("PUT", "jobs/a/1/b.mp4", url.searchParams, 1_700_000_000_001)).toBeNull();
});

test("of a running job the two newest checkpoints are kept, of a finished one none", async () => {
  const account = await studio.account("pro", { amount: "10" });
  const { id } = await studio.submitted(account);
  const { job } = await studio.dispatched(id);
  const lease = { job: id, epoch: job.epoch };
  const keys: string[] = [];
  for (const step of [2, 4, 6]) {
    const body = `latents after ${step}`;
    const storeKey = storeKeyOf(lease, "checkpoint", hashOf(body));
    keys.push(storeKey);
    await put(storeKey, body);
    await recordCheckpoint(studio.sql, {
      lease,
      step,
      storeKey,
      sha256: hashOf(body),
      bytes: body.length,
      exactness: "exact",
    });
  }
  const kept = async () => (await Promise.all(keys.map((key) => store.stat(key)))).map((found) => found !== null);
  await sweepCheckpoints(studio.sql, store);
  expect(await kept()).toEqual([false, true, true]);
  const finished = {
    kind: "finished",
    epoch: job.epoch,
    artifact: anArtifact(),
    artifactKey: "jobs/x/1/a.mp4",
  } as const;
  await recordEnd(studio.sql, lease, finished);
  await sweepCheckpoints(studio.sql, store);
  expect(await kept()).toEqual([false, false, false]);
  expect(await studio.sql`select 1 from checkpoint where job_id = ${id}`).toHaveLength(0);
});

test("a URL for an upload takes the bytes that were announced and no others, however long it lives", async () => {
  const [good, bad] = [hashOf("the film"), hashOf("another film")];
  for (const key of [storeKeyOf({ job: "video_3", epoch: 1 }, "artifact", good), referenceKeyOf(good)]) {
    expect(hashNamedBy(key)).toBe(good);
  }
  const urls = new StoreUrls("http://store.test", "a secret of some length");
  const routes = storeRoutes(store, urls, () => 1_700_000_000_000);
  const key = storeKeyOf({ job: "video_3", epoch: 1 }, "artifact", good);
  const url = new URL(urls.sign({ method: "PUT", key, bytes: 12 }, 1_700_000_000_000));
  const app = new Hono().route("/store/v1", routes);
  const send = (body: string, sha256: string) =>
    app.request(url.href, { method: "PUT", body, headers: { [CHECKSUM_HEADER]: checksumOf(sha256) } });
  expect((await send("the film", good)).status).toBe(200);
  expect((await send("another film", bad)).status).toBe(422);
  expect((await send("another film", good)).status).toBe(422);
  expect(await text(store.read(key, { start: 0, end: 7 }))).toBe("the film");
});
